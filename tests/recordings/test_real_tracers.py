"""What ltrace and heaptrack write here and now of a program whose calls are known."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, read_trace

PROGRAM = """
#include <stdlib.h>
int main(void) {
  void *kept[6];
  for (int i = 0; i < 6; i++) kept[i] = i % 2 ? malloc(1000 + i) : calloc(i + 1, 700);
  kept[0] = realloc(kept[0], 50000);
  free(kept[2]);
  kept[2] = realloc(NULL, 4000);
  free(kept[1]);
  free(NULL);
  for (int i = 0; i < 3; i++) kept[1] = malloc(1234);
  free(kept[1]);
  return 0;
}
"""
SIZES = [700, 1001, 2100, 1003, 3500, 1005, 50000, 4000, 1234, 1234, 1234]
LIFETIMES = [7, 7, 5, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, 1]


@pytest.fixture
def program(tmp_path) -> Path:
    """The program, compiled; each of its calls goes by the table in which ltrace looks on."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is here")
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    command = ["cc", "-w", "-O0", "-Wl,-z,lazy", "-o", "program", "program.c"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    return tmp_path / "program"


def of_the_program(recording: Recording) -> tuple[list[int], list[int]]:
    """The requests of main; before and after them the C library may make its own."""
    first = recording.size.tolist().index(SIZES[0])
    last = first + len(SIZES)
    return recording.size[first:last].tolist(), recording.lifetime[first:last].tolist()


def test_a_log_of_ltrace_has_the_calls_of_the_program(program):
    if shutil.which("ltrace") is None:
        pytest.skip("ltrace is not here")
    log = program.with_name("ltrace.log")
    command = ["ltrace", "-f", "-i", "-o", log, "-e", "malloc+free+calloc+realloc", program]
    if subprocess.run(command, capture_output=True, timeout=60).returncode:
        pytest.skip("ltrace may not trace here")
    recording = read_trace(log)
    assert recording.about.format == "ltrace"
    assert of_the_program(recording) == (SIZES, LIFETIMES)
    assert recording.site is not None
    sites = recording.site.tolist()[-3:]
    assert len(set(sites)) == 1
    assert sites[0] not in recording.site.tolist()[:-3]


def test_what_heaptrack_writes_has_the_calls_of_the_program(program):
    if shutil.which("heaptrack") is None or shutil.which("heaptrack_gui") is not None:
        pytest.skip("heaptrack is not here, or would open its window")
    told: dict[str, Recording] = {}
    for name, options in {"raw": ["--raw"], "prepared": []}.items():
        command = ["heaptrack", *options, "-o", program.with_name(name), program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            pytest.skip("heaptrack cannot record here")
        (path,) = program.parent.glob(f"{name}*.[gz]*")
        told[name] = read_trace(path)
        assert told[name].about.format == "heaptrack"
        assert told[name].about.program.endswith("program")
        assert of_the_program(told[name])[0] == SIZES
        if name == "prepared":
            counted = re.search(r"allocations:\s+(\d+)\s+leaked allocations:\s+(\d+)", done.stderr)
            assert counted is not None
            assert told[name].requests == int(counted[1])
            assert 2 * told[name].requests - told[name].events == int(counted[2])
    # A realloc is a free and then an allocation, so that its old block ends one request earlier.
    before = [LIFETIMES[0] - 1, *LIFETIMES[1:]]
    assert of_the_program(told["raw"])[1] == before
    # Of the three blocks of one size and call stack the last is freed, as it is taken to be.
    assert of_the_program(told["prepared"])[1] == before
    assert any(note.startswith("frees that fit several") for note in told["prepared"].about.notes)
