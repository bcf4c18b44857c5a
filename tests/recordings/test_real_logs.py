"""Logs that valgrind and glibc write here and now, beside what these say of them themselves."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jaxmem.recordings import read_trace


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not here")
def test_a_log_of_valgrind_has_the_sums_that_valgrind_tells(tmp_path):
    log = tmp_path / "ls.log"
    command = ["valgrind", "--trace-malloc=yes", f"--log-file={log}", "ls", "/"]
    subprocess.run(command, check=True, capture_output=True)
    recording = read_trace(log)
    told = re.search(
        r"total heap usage: ([\d,]+) allocs, ([\d,]+) frees, ([\d,]+) bytes", log.read_text()
    )
    assert told is not None
    allocations, frees, total = (int(number.replace(",", "")) for number in told.groups())
    assert recording.requests == allocations
    assert recording.events - recording.requests == frees
    zeros = sum("of zero bytes" in note for note in recording.about.notes)
    assert zeros or recording.size.sum() == total
    assert recording.about.program == "ls /"
    assert not any("valgrind's own total" in note for note in recording.about.notes)


def test_a_line_that_is_lost_from_a_log_of_valgrind_is_noticed(program):
    whole = traced(program).read_text().splitlines(keepends=True)
    lost = next(number for number, line in enumerate(whole) if re.search(r"-- malloc\(104", line))
    short = program.with_name("short.log")
    short.write_text("".join(whole[:lost] + whole[lost + 1 :]))
    assert set(read_trace(short).about.notes) - set(read_trace(traced(program)).about.notes) == {
        "allocations in valgrind's own total that the log does not show: 1",
        "bytes in valgrind's own total that the log does not show: 104",
        "frees of blocks that the log never shows, left out: 1",
    }


def traced(program: Path, *options: str) -> Path:
    """The log of a program under valgrind."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not here")
    log = program.with_name("valgrind.log")
    command = ["valgrind", "--trace-malloc=yes", f"--log-file={log}", *options, program]
    subprocess.run(command, check=True, capture_output=True)
    return log


CPP = """
#include <new>
#include <string>
#include <vector>
struct alignas(128) Block { char bytes[256]; };
int main() {
  delete new int(3);
  delete[] new Block[3];
  delete new Block;
  delete[] new (std::nothrow) char[40];
  std::vector<std::string> texts;
  for (int i = 0; i < 20; i++) texts.push_back(std::string(40 + i, 'x'));
}
"""


@pytest.mark.parametrize("options", [[], ["--time-stamp=yes"]])
def test_every_block_of_a_program_in_cpp_is_freed_in_its_log(tmp_path, options):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler is here")
    (tmp_path / "program.cc").write_text(CPP, encoding="utf-8")
    command = ["c++", "-std=c++17", "-fsized-deallocation", "-O0", "-o", "program", "program.cc"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    recording = read_trace(traced(tmp_path / "program", *options))
    assert recording.events == 2 * recording.requests
    assert recording.about.notes == ()
    assert {4, 40, 256, 768} <= set(recording.size.tolist())


PROGRAM = """
#include <malloc.h>
#include <mcheck.h>
#include <stdlib.h>
int main(void) {
  mtrace();
  void *kept[20], *aligned;
  for (int i = 0; i < 20; i++) kept[i] = i % 3 ? malloc(100 + i) : calloc(i + 1, 7);
  for (int i = 0; i < 20; i += 2) kept[i] = realloc(kept[i], 5000 + i);
  for (int i = 0; i < 20; i += 3) free(kept[i]);
  if (posix_memalign(&aligned, 64, 300)) return 1;
  kept[0] = memalign(128, 77);
  kept[3] = malloc(0);
  kept[6] = realloc(NULL, 40);
  kept[6] = realloc(kept[6], 0);
  kept[9] = malloc((size_t)1 << 62);
  free(NULL);
  free(aligned);
  return 0;
}
"""


@pytest.fixture
def program(tmp_path) -> Path:
    """A program that asks for memory in every way, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is here")
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    command = ["cc", "-w", "-O0", "-o", "program", "program.c"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("this system's C library has no mtrace")
    return tmp_path / "program"


def test_mtrace_and_valgrind_tell_the_same_of_one_program(program):
    logs = {name: program.with_name(f"{name}.log") for name in ("mtrace", "valgrind")}
    # In glibc since 2.34 the hooks of mtrace are in a library of their own.
    hooks = {"MALLOC_TRACE": str(logs["mtrace"]), "LD_PRELOAD": "libc_malloc_debug.so.0"}
    subprocess.run([program], check=True, env={**os.environ, **hooks}, capture_output=True)
    if not logs["mtrace"].is_file():
        pytest.skip("this system's C library has no mtrace")
    assert traced(program) == logs["valgrind"]
    told = {name: read_trace(log) for name, log in logs.items()}
    assert {name: recording.about.format for name, recording in told.items()} == {
        name: name for name in logs
    }
    assert told["mtrace"].size.tolist() == told["valgrind"].size.tolist()
    assert told["mtrace"].lifetime.tolist() == told["valgrind"].lifetime.tolist()
    assert told["mtrace"].requests == 20 + 10 + 4
    assert set(told["mtrace"].about.notes) == set(told["valgrind"].about.notes)
    assert told["mtrace"].site is not None
    assert len(set(told["mtrace"].site.tolist())) == 7
