"""Run folders while something is wrong: two runs at once, a full disk, a folder that goes away."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from jaxmem import run_folder, whole_files
from jaxmem.cli import main
from jaxmem.commands import terminal
from jaxmem.configuration import UsageError
from jaxmem.locks import Lock, TakenError
from jaxmem.run_folder import RunFolder
from jaxmem.standard_streams import lenient_streams
from jaxmem.whole_files import write_whole, written_whole

ODD = "a[/b] [bold]c :bee: $d"


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def folder(out="run", overwrite=False) -> RunFolder:
    return RunFolder("compare", "comb", out, overwrite)


def elsewhere(code: str, *words: str) -> subprocess.Popen[str]:
    """A process that runs some code, and says what it has to say in lines."""
    command = [sys.executable, "-c", textwrap.dedent(code), *words]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


HOLDER = """
    import sys
    from pathlib import Path
    from jaxmem.locks import Lock
    lock = Lock(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_runs_at_once_in_one_folder_are_refused_with_who_has_it():
    with folder() as first:
        first.write_config({"seed": 1}, "jaxmem compare seed=1")
        with pytest.raises(UsageError, match=rf"run: another run is at work .*{os.getpid()} on "):
            folder(overwrite=True)
        assert "seed: 1" in Path("run/config.yaml").read_text(encoding="utf-8")
    assert os.listdir("run") == ["config.yaml"]
    with folder() as again:
        again.write_config({"seed": 2}, "jaxmem compare seed=2")


def test_a_lock_is_free_once_its_process_is_killed():
    process = elsewhere(HOLDER, "lock")
    assert process.stdout.readline() == "held\n"
    try:
        with pytest.raises(TakenError, match=f"process {process.pid} on "):
            Lock(Path("lock"))
    finally:
        process.kill()
        process.communicate(timeout=60)
    lock = Lock(Path("lock"))
    lock.release()
    assert os.listdir() == []


def test_where_there_are_no_locks_a_run_goes_on_without(monkeypatch):
    import fcntl

    def unknown(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with folder() as one:
        one.write_config({}, "jaxmem")
    assert os.listdir("run") == ["config.yaml"]


def test_two_runs_that_begin_in_one_second_have_folders_of_their_own(monkeypatch):
    with folder(out=None) as first, folder(out=None) as second:
        assert first.path != second.path
        for one in (first, second):
            one.write_config({}, "jaxmem")
    paths = iter([first.path, Path("runs/new")])  # as if it had been made in between
    monkeypatch.setattr(run_folder, "new_path", lambda name: next(paths))
    with folder(out=None) as third:
        assert third.path == Path("runs/new")


def test_an_error_leaves_no_empty_folder():
    with pytest.raises(KeyError), folder("a/b"):
        raise KeyError
    assert os.listdir() == []


def run_that_loses_its_folder(then) -> None:
    """A run whose folder is deleted before it ends, and something else done then."""
    with folder() as one:
        one.write_config({"seed": 7}, "jaxmem compare seed=7")
        shutil.rmtree("run")
        then(one)


def test_a_folder_that_was_deleted_has_its_configuration_again_and_is_an_error():
    def then(one):
        Path("run").mkdir()  # as a checkpoint does
        one.write_results({"answer": 42})

    with pytest.raises(UsageError, match="run was deleted while the run went on; what it came"):
        run_that_loses_its_folder(then)
    assert yaml.safe_load(Path("run/config.yaml").read_text(encoding="utf-8")) == {"seed": 7}
    assert sorted(os.listdir("run")) == ["config.yaml", "results.json"]


def test_a_folder_that_is_gone_at_the_end_is_an_error():
    with pytest.raises(UsageError, match="run was deleted while the run went on: nothing is kept"):
        run_that_loses_its_folder(lambda one: None)


def test_a_folder_that_another_run_has_taken_over_is_left_to_it():
    def then(one):
        with folder() as other:
            other.write_config({"seed": 2}, "jaxmem")
            one.write_results({})

    with pytest.raises(UsageError, match="another run is at work there"):
        run_that_loses_its_folder(then)
    assert yaml.safe_load(Path("run/config.yaml").read_text(encoding="utf-8")) == {"seed": 2}
    assert os.listdir("run") == ["config.yaml"]


def full(*words):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def written_by_half() -> None:
    with written_whole("file") as file:
        file.write(b"half")
        full()


def run_on_a_full_disk() -> None:
    with folder() as one:
        one.write_config({}, "jaxmem")


def test_a_file_is_written_whole_or_not_at_all(monkeypatch):
    write_whole("file", "before")
    with pytest.raises(OSError, match="No space left on device: 'file'"):
        written_by_half()
    assert Path("file").read_text(encoding="utf-8") == "before"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError) as told:
        run_on_a_full_disk()
    assert str(told.value) == "run/config.yaml cannot be written: No space left on device"
    assert os.listdir() == ["file"]


def test_a_full_disk_ends_a_summary_with_its_table_and_one_line(monkeypatch, capsys):
    from test_summarize import write_seeds

    write_seeds(Path("runs"), "learner=pqn")
    monkeypatch.setattr(whole_files.os, "fsync", full)
    assert main(["summarize", "runs"]) == 2
    said = capsys.readouterr()
    assert "runs/summary.json cannot be written: No space left on device" in said.err
    assert said.err.count("\n") == 1
    assert "3.50" in said.out
    assert not Path("runs/summary.json").exists()


def test_what_is_printed_may_be_read_by_nobody(monkeypatch):
    # A pipe without a reader: nothing is lost but what was to be printed.
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        with lenient_streams() as output:
            terminal().print("a table")
            print("x" * 100_000)
        assert output.fault.errno == errno.EPIPE
        assert main(["--version"]) == 0


def test_a_broken_pipe_is_no_traceback():
    code = "from jaxmem.cli import main; raise SystemExit(main())"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", code, "train", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_standard_output_is_told():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    code = "from jaxmem.cli import main; raise SystemExit(main())"
    with open("/dev/full", "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-c", code, "--help"],
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("jaxmem: what was printed is lost: ")
    assert done.stderr.count("\n") == 1


def test_names_are_shown_as_they_stand(capsys):
    console = terminal()
    console.print(ODD, soft_wrap=True)
    assert capsys.readouterr().out == f"{ODD}\n"


def test_a_folder_may_be_called_like_markup_or_be_no_utf_8(capsys):
    from test_summarize import write_seeds

    for name in (ODD.replace("/", "|") + "[", os.fsdecode(b"no utf-8 \xff"), "[", "[bold]/x"):
        write_seeds(Path(name), "learner=pqn")
        assert main(["summarize", name]) == 0
        assert (Path(name) / "summary.md").exists()
    assert "no utf-8" in capsys.readouterr().out
