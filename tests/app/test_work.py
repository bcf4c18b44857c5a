"""Long work can be watched, stopped, and go wrong, without taking the page with it."""

import logging
import threading

from jaxmem.app import work
from jaxmem.app.work import Job


def finished(job: Job) -> Job:
    job.wait(10)
    assert job.done
    return job


def test_work_tells_how_far_it_is_and_gives_its_result():
    go_on = threading.Event()

    def count(job: Job) -> int:
        job.report("halfway", 0.5)
        go_on.wait(10)
        return 42

    job = Job(count)
    while job.doing != "halfway":
        assert not job.done
    assert job.share == 0.5
    assert job.result is None
    go_on.set()
    assert finished(job).result == 42


def test_work_that_is_stopped_ends_where_it_reports_next():
    go_on = threading.Event()

    def forever(job: Job) -> None:
        go_on.wait(10)
        while True:
            job.report("going on")

    job = Job(forever)
    job.stop()
    assert job.stopping
    go_on.set()
    assert finished(job).result is None
    assert job.fault is None
    assert job.doing == "stopped"


def test_work_that_goes_wrong_says_so(caplog):
    def wrong(job: Job) -> None:
        raise ZeroDivisionError("by design")

    with caplog.at_level(logging.ERROR):
        job = finished(Job(wrong))
    assert isinstance(job.fault, ZeroDivisionError)
    assert "by design" in caplog.text


def test_a_refusal_is_a_sentence_and_no_defect(caplog):
    def refuse(job: Job) -> None:
        raise ValueError("too many cells")

    job = finished(Job(refuse))
    assert str(job.fault) == "too many cells"
    assert not caplog.records


def test_no_more_than_a_few_work_at_once_and_the_others_wait():
    go_on = threading.Event()
    jobs = [Job(lambda job: go_on.wait(10)) for _ in range(work.AT_ONCE + 1)]
    waiting = jobs[-1]
    while waiting.doing != work.WAITING:
        assert not waiting.done
    go_on.set()
    assert all(finished(job).result for job in jobs)


def test_work_that_waits_can_be_stopped_too():
    go_on = threading.Event()
    busy = [Job(lambda job: go_on.wait(10)) for _ in range(work.AT_ONCE)]
    waiting = Job(lambda job: 1)
    waiting.stop()
    assert finished(waiting).result is None
    go_on.set()
    for job in busy:
        finished(job)
