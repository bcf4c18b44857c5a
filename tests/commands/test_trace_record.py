"""`jaxmem trace record`: which recorder, what is refused before anything runs, what is left."""

import os
import platform
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxmem.cli import main
from jaxmem.commands import terminal
from jaxmem.commands.trace_file import keep_children
from jaxmem.recordings import read_trace

# In place of valgrind: a log of two allocations, then the program.
VALGRIND = """#!/bin/sh
while case $1 in --*) true;; *) false;; esac; do
  case $1 in --log-fd=*) log=/dev/fd/${1#--log-fd=};; esac
  shift
done
echo '--9-- malloc(1000) = 0x4A00000' > $log
echo '--9-- malloc(10) = 0x4A00500' > $log
echo '--9-- free(0x4A00000)' > $log
exec "$@"
"""
SILENT = VALGRIND.replace("echo '--9-- ", ": '")


PRELOADED = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the preload recorder needs Linux on x86-64 and a C compiler",
)


@pytest.fixture
def here(tmp_path, recorder_cache, monkeypatch) -> Path:
    """A folder to work in, beside one for temporary files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(recorder_cache))
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield tmp_path / "here"
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs on PATH, ahead of others of that name."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def add(name: str, script: str) -> None:
        (folder / name).write_text(script, encoding="utf-8")
        (folder / name).chmod(0o755)

    return add


def record(*words: str) -> int:
    return main(["trace", "record", *words])


def test_a_program_is_run_told_and_kept(here, programs, capfd):
    programs("valgrind", VALGRIND)
    words = ("--", "echo", "-m", "--help", "out=1", "a b")
    assert record("recorder=valgrind", "licence=CC BY 4.0", *words) == 0
    said = capfd.readouterr()
    assert said.out == "-m --help out=1 a b\n"  # the words of the program are its own
    for text in ("echo -m --help out=1 'a b'", "valgrind", "3", "1,010 bytes", "echo.npz"):
        assert text in said.err
    kept = read_trace("echo.npz")
    assert (kept.name, kept.size.tolist()) == ("echo", [1000, 10])
    assert kept.about.program == "echo -m --help out=1 'a b'"
    assert (kept.about.format, kept.about.file) == ("valgrind", "")
    assert kept.about.licence == "CC BY 4.0"
    assert os.listdir() == ["echo.npz"]


def test_what_is_typed_goes_to_the_program(here, programs, capfd, monkeypatch):
    programs("valgrind", VALGRIND)
    Path("typed").write_text("to be passed on\n", encoding="utf-8")
    standard = os.dup(0)
    with open("typed", encoding="utf-8") as typed:
        os.dup2(typed.fileno(), 0)
    try:
        assert record("recorder=valgrind", "out=c.npz", "--", "cat") == 0
    finally:
        os.dup2(standard, 0)
        os.close(standard)
    assert capfd.readouterr().out == "to be passed on\n"


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("exit 7", 7, "the program ended with exit status 7"),
        ("kill -9 $$", 137, "the program ended with signal 9 (Killed)"),
    ],
)
def test_what_a_program_that_fails_has_allocated_is_kept(
    script, status, said, here, programs, capfd
):
    programs("valgrind", VALGRIND)
    assert record("recorder=valgrind", "--", "sh", "-c", script) == status
    assert said in capfd.readouterr().err
    assert read_trace("sh.npz").requests == 2


def test_a_program_that_allocates_nothing_leaves_nothing(here, programs, capfd):
    programs("valgrind", SILENT)
    assert record("recorder=valgrind", "--", "sh", "-c", "exit 3") == 2
    said = capfd.readouterr().err
    assert "sh -c 'exit 3': nothing is kept (valgrind, line 1: no allocation" in said
    assert "it ended with exit status 3" in said
    assert os.listdir() == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_the_program_and_with_valgrind_keeps_nothing(
    number, status, here, programs, capfd, signals
):
    programs("valgrind", VALGRIND)
    script = "trap '' INT; echo $$ > started; for _ in $(seq 1200); do sleep 0.05; done"
    assert interrupted(number, os.getpid(), "recorder=valgrind", "--", "sh", "-c", script) == status
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("started").read_text(encoding="utf-8")), 0)
    assert os.listdir() == ["started"]


def interrupted(number: int, whom: int, *words: str) -> int:
    """Records, and sends a signal once the file `started` has the program's number: the status.

    Args:
        whom: the process that is sent it; 0: this one and the program, as a terminal does.
    """

    def interrupt() -> None:
        until = time.monotonic() + 60
        while not (Path("started").exists() and Path("started").read_text(encoding="utf-8")):
            if time.monotonic() > until:
                return  # the program ends by itself, which the test sees
            time.sleep(0.02)
        time.sleep(0.1)  # until jaxmem waits for the program, too
        if not whom:
            os.kill(int(Path("started").read_text(encoding="utf-8")), number)
        os.kill(whom or os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        ended = record(*words)
    except SystemExit as left:
        ended = left.code
    thread.join()
    return ended


@PRELOADED
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_is_asked_to_end_and_what_it_has_allocated_is_kept(number, here, capfd, signals):
    script = "trap 'echo bye; exit 5' INT TERM; echo $$ > started; while true; do sleep 0.05; done"
    whom = 0 if number == signal.SIGINT else os.getpid()
    assert interrupted(number, whom, "--", "sh", "-c", script) == 5
    assert capfd.readouterr().out == "bye\n"
    assert read_trace("sh.npz").requests > 3


PYTHON_WITHOUT_MEMRAY = "#!/bin/sh\nexit 3\n"
BAD = (
    ([], "trace record: which program? it stands after --"),
    (["--"], "trace record: which program?"),
    (["ls"], "trace record: which program?"),
    (["-m", "--", "./run"], "jaxmem trace record takes no -m ahead of --"),
    (["--gif", "--", "./run"], "no 'gif'"),
    (["recorder=heaptrack", "--", "./run"], "recorder is 'heaptrack'; memray"),
    (["python_objects=1", "--", "./run"], "python_objects is 1; true or false"),
    (["children=1", "--", "./run"], "children is 1; true or false"),
    (["children=true", "--", "x.py"], "children=true is for recorder=preload, which alone"),
    (["recorder=valgrind", "children=true", "--", "./run"], "children=true is for"),
    (["--python-objects", "--", "./run"], "python_objects=true is for programs of Python"),
    (["--", "nothing-of-this-name"], "no program 'nothing-of-this-name': it is not on PATH"),
    (["--", "run"], "it is not on PATH; did you mean ./run?"),
    (["--", "./nothing"], "there is no program './nothing': no such file"),
    (["--", ""], "there is no program ''"),
    (["--", "."], ". is a folder; name a program"),
    (["--", "./text"], "./text cannot be run: no permission to execute (chmod +x ./text)"),
    (["--", "python"], "memray records no open prompt"),
    (["--", "-m"], "memray records no open prompt"),
    (["--", "none.py"], "none.py cannot be run: no such file or directory"),
    (["--", "a\0.py"], "null"),
    (["--", "-m", "no_module"], "has no module 'no_module'"),
    (["--", sys.executable, "-Q", "x.py"], "does not start"),
    (["--", "python3.7", "x.py"], "python3.7 has no memray; install it there"),
    (["out=none/heap.npz", "--", "./run"], "out=none/heap.npz cannot be written: No such file"),
    (["out=.", "--", "./run"], "out=. is no ordinary file"),
    (["out=text", "--", "./run"], "text is there already; take another out=FILE, or overwrite"),
    (["out=a\0b", "--", "./run"], "cannot be written"),
)  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_refused_in_one_line_before_the_program_runs(
    words, said, here, programs, capfd
):
    pytest.importorskip("memray", reason="memray is not here")
    programs("valgrind", VALGRIND)
    programs("python3.7", PYTHON_WITHOUT_MEMRAY)
    for name, mode in (("run", 0o755), ("text", 0o644)):
        Path(name).write_text("#!/bin/sh\ntouch it-ran\n", encoding="utf-8")
        Path(name).chmod(mode)
    Path("x.py").touch()
    refused(words, said, capfd)
    assert sorted(os.listdir()) == ["run", "text", "x.py"]


def refused(words, said: str, capfd) -> None:
    assert record(*words) == 2
    heard = capfd.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    assert said in heard.err


def test_without_valgrind_it_says_where_to_get_it(here, capfd, monkeypatch, tmp_path):
    touch = str(shutil.which("touch"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    said = "needs valgrind, which is not on PATH"
    refused(["recorder=valgrind", "--", touch, "it-ran"], said, capfd)
    said = f"{touch} can be recorded neither by preload (it "
    refused(["--", touch, "it-ran"], said, capfd)
    refused(["children=true", "--", touch, "it-ran"], "recorder=preload: it ", capfd)
    assert os.listdir() == []


def test_without_memray_it_says_what_to_install(here, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "memray", None)
    Path("x.py").touch()
    said = "recording a program of Python needs memray: uv run --extra traces jaxmem ..."
    refused(["--", "x.py"], said, capfd)
    assert os.listdir() == ["x.py"]


def test_a_recorder_that_cannot_be_started_is_told(here, programs, capfd):
    programs("valgrind", "#!/no/such/shell\n")
    refused(["recorder=valgrind", "--", "ls"], "valgrind cannot be run: No such file", capfd)
    assert os.listdir() == []


def test_the_environment_of_the_program_is_as_it_was(here, programs, capfd, monkeypatch):
    programs("valgrind", VALGRIND)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert record("recorder=valgrind", "--", "env") == 0
    assert "JAX_COMPILATION_CACHE_DIR" not in capfd.readouterr().out


def test_a_program_of_python_is_recorded_by_memray(here, capfd):
    pytest.importorskip("memray", reason="memray is not here")
    Path("program.py").write_text(
        "import sys\nblock = bytearray(777_000)\nprint(sys.argv[1:])\nobjects = []\nsys.exit(4)",
        encoding="utf-8",
    )
    assert record("--", "program.py", "--python-objects", "x") == 4
    assert capfd.readouterr().out == "['--python-objects', 'x']\n"
    assert record("--python-objects", "out=objects.npz", "--", sys.executable, "program.py") == 4
    plain, objects = read_trace("program.npz"), read_trace("objects.npz")
    for kept in (plain, objects):
        assert 777_001 in kept.size.tolist()
        assert kept.about.format == "memray"
        assert kept.site is not None
    assert plain.about.program == "program.py --python-objects x"
    assert objects.about.program == shlex.join([sys.executable, "program.py"])
    assert (objects.size <= 512).sum() > 100 + (plain.size <= 512).sum()


def test_a_program_is_recorded_by_valgrind(here, capfd):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not here")
    assert record("recorder=valgrind", "--", "echo", "recorded") == 0
    assert capfd.readouterr().out == "recorded\n"
    kept = read_trace("echo.npz")
    assert kept.requests > 3
    assert kept.about.program == "echo recorded"


@PRELOADED
def test_a_program_is_recorded_by_a_library_that_is_loaded_into_it(here, capfd, monkeypatch):
    command = ("--", "sh", "-c", "echo said; exit 3")
    assert record("depth=2", "out=a.npz", *command) == 3
    printed = capfd.readouterr()
    assert printed.out == "said\n"
    assert "the program ended with exit status 3" in printed.err
    kept = read_trace("a.npz")
    assert kept.requests > 3
    assert (kept.about.format, kept.about.program) == ("preload", "sh -c 'echo said; exit 3'")
    assert max(name.count("\n") for name in kept.call_sites.name) == 1
    monkeypatch.setenv("CC", "no-such-compiler")
    assert record("recorder=preload", "out=b.npz", "--", "echo", "x") == 2
    assert "there is no C compiler: install gcc" in capfd.readouterr().err


def test_the_depth_of_call_sites_has_bounds(here, capfd):
    assert record("recorder=preload", "depth=33", "--", "echo", "x") == 2
    assert capfd.readouterr().err == "jaxmem: depth is 33; a whole number from 0 to 32\n"


@PRELOADED
def test_where_preload_cannot_be_had_valgrind_records_and_it_is_said_why(
    here, programs, capfd, monkeypatch
):
    programs("valgrind", VALGRIND)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert record("--", "echo", "x") == 0
    said = capfd.readouterr()
    assert said.out == "x\n"
    why = "by preload it cannot be: it is compiled on first use, and there is no C compiler"
    assert said.err.startswith(f"recorded by valgrind, which is slow; {why}")
    assert read_trace("echo.npz").about.format == "valgrind"


@PRELOADED
@pytest.mark.parametrize("chosen", [[], ["recorder=preload"]])
def test_a_program_that_no_library_is_loaded_into_is_refused_and_not_run(chosen, here, capfd):
    Path("static.c").write_text("int main(void) { return 0; }", encoding="utf-8")
    if os.system("cc -static -o static static.c 2> /dev/null"):
        pytest.skip("no static C library is here")
    refused([*chosen, "--", "./static"], "static cannot be recorded by preload: it is a", capfd)
    assert sorted(os.listdir()) == ["static", "static.c"]


CHILDREN = "sort --version; (exec ls); sh -c 'exit 0' & wait; exit 3"


@PRELOADED
def test_children_are_kept_beside_the_program_that_starts_them(here, capfd):
    words = ("children=true", "licence=mine", "out=all.npz")
    assert record(*words, "--", "sh", "-c", CHILDREN) == 3
    said = capfd.readouterr().err
    assert sorted(os.listdir()) == ["all.001.npz", "all.002.npz", "all.003.npz", "all.npz"]
    first = read_trace("all.npz")
    children = [read_trace(f"all.00{number}.npz") for number in (1, 2, 3)]
    assert first.about.program.startswith("sh -c 'sort")
    programs = [Path(child.about.program).name for child in children]
    assert programs[:2] == ["sort", "ls"]
    for number, child in enumerate(children, 1):
        assert (child.name, child.about.licence) == (f"all.00{number}", "mine")
        assert f"all.00{number}.npz" in said
        assert f"{child.requests:,}" in said
    # What is there already is not replaced unasked, and the program does not run.
    Path("all.npz").unlink()
    refused([*words, "--", "touch", "it-ran"], "all.001.npz is there already; take another", capfd)
    assert record(*words, "overwrite=true", "--", "sh", "-c", "exit 0") == 0
    assert "no child process was recorded" in capfd.readouterr().err


def test_children_that_leave_nothing_are_counted_by_the_reason(tmp_path, capsys):
    keep_children(tmp_path / "a.npz", ["x", "no allocation", "x"], None, terminal())
    said = capsys.readouterr().out
    assert "no child process was recorded" in said
    assert "child processes without a recording: 2 (x)\n" in said
    assert "child processes without a recording: 1 (no allocation)\n" in said
    assert list(tmp_path.iterdir()) == []


@PRELOADED
def test_without_children_only_what_is_started_or_what_it_becomes_is_kept(here, capfd):
    assert record("out=all.npz", "--", "sh", "-c", "ls; exec sort --version") == 0
    assert os.listdir() == ["all.npz"]
    assert record("out=sort.npz", "--", "sort", "--version") == 0
    assert read_trace("all.npz").size.tolist() == read_trace("sort.npz").size.tolist()


@PRELOADED
def test_a_child_that_goes_on_runs_to_its_end(here, capfd):
    script = "(sleep 0.5; sort --version > late; echo whole > done) & exit 0"
    assert record("children=true", "--", "sh", "-c", script) == 0
    until = time.monotonic() + 60
    while not Path("done").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert Path("done").read_text(encoding="utf-8") == "whole\n"
    assert "sort" in Path("late").read_text(encoding="utf-8")
