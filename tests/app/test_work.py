"""Long work can be watched, stopped, deserted, and go wrong, without taking the page with it."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxmem.app import work
from jaxmem.app.bounds import limited_memory
from jaxmem.app.pool import WORKERS, Pool
from jaxmem.app.work import Job

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills as Unix does")


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """Processes of this test's own, which find its chores."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    own = Pool()
    monkeypatch.setattr(work, "POOL", own)
    yield own
    own.close()


def job(name: str, *arguments, **options) -> Job:
    return Job("a chore", f"chores.{name}", *arguments, **options)


def finished(job: Job) -> Job:
    job.wait(60)
    assert job.done
    return job


def wait_until(true) -> None:
    last = time.monotonic() + 60
    while not true():
        assert time.monotonic() < last
        time.sleep(0.01)


def test_work_tells_how_far_it_is_and_gives_its_result():
    done = finished(job("count", 41))
    assert (done.doing, done.share, done.news, done.result) == ("counting", 0.5, ["one"], 42)
    assert not done.refusal
    assert not done.fault


def test_what_work_prints_is_no_answer():
    assert finished(job("say")).result == "said"


def test_one_process_does_one_piece_of_work_after_another():
    assert finished(job("whose")).result == finished(job("whose")).result


def test_work_that_is_stopped_ends_where_it_reports_next_and_its_process_is_kept(tmp_path):
    before = finished(job("whose")).result
    going = job("go_on_until", str(tmp_path / "never"))
    wait_until(lambda: going.doing == "going on")
    going.stop()
    assert going.stopping
    assert finished(going).result is None
    assert (going.doing, going.refusal, going.fault) == ("stopped", "", "")
    assert finished(job("whose")).result == before


def test_work_that_does_not_report_is_ended_with_its_process(monkeypatch):
    monkeypatch.setattr(work, "GRACE", 0.2)
    before = finished(job("whose")).result
    hanging = job("hang")
    wait_until(lambda: hanging.doing == "compiling")
    began = time.monotonic()
    hanging.stop()
    assert finished(hanging).result is None
    assert time.monotonic() - began < 5
    assert hanging.doing == "stopped"
    assert finished(job("whose")).result != before


def test_work_that_keeps_what_it_has_may_take_its_time_to_stop(monkeypatch):
    monkeypatch.setattr(work, "GRACE", 0.1)
    keeping = job("keep")
    wait_until(lambda: keeping.keeps)
    keeping.stop()
    assert finished(keeping).result == "kept"


def test_deserted_work_ends_within_five_seconds_whatever_it_is_doing():
    present = True
    hanging = job("hang", True, present=lambda: present)
    wait_until(lambda: hanging.doing == "compiling")
    present, began = False, time.monotonic()
    assert finished(hanging).result is None
    assert work.AWAY < time.monotonic() - began < 5


def test_a_connection_that_is_lost_for_a_moment_ends_nothing(monkeypatch, tmp_path):
    here = iter([True, False, False, True, *[False, True] * 3])
    monkeypatch.setattr(work, "TICK", 0.05)
    going = job("go_on_until", str(tmp_path / "end"), present=lambda: next(here, True))
    wait_until(lambda: next(here, None) is None)
    (tmp_path / "end").touch()
    assert finished(going).result == "seen"


def test_work_that_takes_too_long_is_ended_with_a_sentence():
    done = finished(job("take_long"))
    assert done.refusal == "This took too long and was ended: reading."


def test_work_that_goes_wrong_says_so(caplog):
    with caplog.at_level(logging.ERROR):
        done = finished(job("divide"))
    assert done.fault == "ZeroDivisionError"
    assert "return 1 / 0" in caplog.text


def test_a_refusal_is_a_sentence_and_no_defect(caplog):
    done = finished(job("refuse"))
    assert (done.refusal, done.fault) == ("too many cells", "")
    assert not caplog.records


def test_a_process_that_dies_is_told_and_replaced():
    done = finished(job("die"))
    assert done.refusal == "The process that worked on this has ended: reading."
    assert finished(job("count", 1)).result == 2


def test_those_who_wait_see_their_place_and_what_is_done_now(tmp_path):
    end = str(tmp_path / "end")
    jobs = [job("go_on_until", end) for _ in range(WORKERS)]
    wait_until(lambda: all(each.doing == "going on" for each in jobs))
    first = job("whose")
    wait_until(lambda: first.doing.startswith("waiting"))
    second = job("whose")
    now = "; ".join(["a chore (going on, 50%)"] * WORKERS)
    wait_until(lambda: second.doing == f"waiting, number 2 in the queue; now: {now}")
    first.stop()
    wait_until(lambda: first.done)
    wait_until(lambda: second.doing == f"waiting, number 1 in the queue; now: {now}")
    assert first.result is None
    Path(end).touch()
    assert all(finished(each).result == "seen" for each in jobs)
    assert finished(second).result


def test_those_who_wait_and_go_are_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(work, "AWAY", 0.3)
    end = str(tmp_path / "end")
    jobs = [job("go_on_until", end) for _ in range(WORKERS)]
    wait_until(lambda: all(each.doing == "going on" for each in jobs))
    assert finished(job("whose", present=lambda: False)).result is None
    assert not any(each.done for each in jobs)
    Path(end).touch()
    assert all(finished(each).result == "seen" for each in jobs)


def test_a_process_that_has_had_too_much_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr("jaxmem.app.pool.MOST_WORKER_MEMORY", 1)
    assert finished(job("whose")).result != finished(job("whose")).result


@pytest.mark.skipif(sys.platform != "linux", reason="nobody knows here")
def test_the_memory_of_the_server_is_not_counted_as_its_processes(pool):
    much = np.ones(2**26)
    one = pool.take()
    one.order("chores.whose")
    _, _, memory = one.hear(60)
    assert 2**20 < memory < much.nbytes


def test_processes_end_with_the_server_even_if_it_is_killed():
    code = (
        "import os; from jaxmem.app.pool import Worker; one = Worker(); "
        "one.order('chores.whose'); print(one.hear(60)[1], flush=True); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    process = Path("/proc", done.stdout.strip())
    assert done.stdout.strip().isdecimal()
    wait_until(lambda: not process.exists() or " (zombie)" in (process / "status").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="no such bound here")
def test_memory_can_be_bounded_for_a_while():
    with pytest.raises(MemoryError), limited_memory(2**24):
        bytearray(2**28)
    assert len(bytearray(2**28)) == 2**28


def test_a_process_gets_ready_while_nothing_is_asked_for_yet(pool):
    for _ in range(3):
        pool.prepare(["chores"])
    one = pool.take()
    assert [one] == pool._all
    pool.prepare(["chores"])
    pool.prepare(["chores"])
    assert len(pool._all) == WORKERS
    pool.give_back(one)
