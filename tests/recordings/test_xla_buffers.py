"""What XLA says of its buffers, in two files, is read as one recording."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmem.recordings import TraceError, read_trace, read_trace_bytes

RANGES = """\
HloLiveRange (max 6):
  InstructionSequence:
    0:x.1
    1:copy.4
  BufferLiveRange:
    x.1{}:0-6
    copy.4{}:1-3
    while.6{0}:3-4
    while.6{1}:1-2
    fusion{}:4-6
    tuple.5{}:5-6
  Live ranges at 3 (peak):
    copy.4{}: 4 bytes (cumulative: 4 bytes)
"""
PLACES = """\
BufferAssignment:
allocation 0: size 8192, maybe-live-out:
 value: <59 fusion @0> (size=8192,offset=0): f32[64,32]{1,0}
 value: <61 lost @0> (size=8,offset=0): f32[2]{0}
allocation 1: size 64, parameter 0, shape |f32[16]| at ShapeIndex {}:
 value: <72 x.1 @0> (size=64,offset=0): f32[16]{0}
allocation 2: size 0, thread-local:
 value: <81 tuple.5{} @0> (size=16,offset=0): (f32[64,32]{1,0})
allocation 3: size 600, preallocated-temp:
 value: <90 copy.4 @0> (size=512,offset=0): f32[128]{0}
 value: <91 while.6{0} (phi) @0> (size=512,offset=0): f32[128]{0}
 value: <92 while.6{1} (phi) @0> (size=88,offset=512): f32[22]{0}

Total bytes used: 9000
"""


@pytest.fixture
def dump(tmp_path):
    """Writes the two files of a program, with other contents if given; returns the first."""

    def write(ranges: str | None = RANGES, places: str | None = PLACES) -> Path:
        for kind, content in (("live-range", ranges), ("buffer-assignment", places)):
            if content is not None:
                (tmp_path / f"module_1.f-{kind}.txt").write_text(content, encoding="utf-8")
        return tmp_path / "module_1.f-live-range.txt"

    return write


@pytest.mark.parametrize("kind", ["live-range", "buffer-assignment"])
def test_either_file_finds_the_other(dump, kind):
    recording = read_trace(dump().with_name(f"module_1.f-{kind}.txt"))
    # copy.4 and while.6{0} are one buffer from 1 to 4; while.6{1} is there from 1 to 2.
    assert recording.size.tolist() == [88, 512, 8192]
    assert recording.lifetime.tolist() == [2, 2, 1]
    assert recording.peak_live == 512 + 8192
    assert (recording.name, recording.about.format) == ("module_1.f", "xla")
    assert recording.about.notes == (
        "values in parameters, constants and thread-local memory, left out: 2",
    )


@pytest.mark.parametrize(
    ("ranges", "places", "message"),
    [
        (RANGES, None, "the other half is missing"),
        (RANGES.replace("copy.4{}:1-3", "copy.4{}:3-1"), PLACES, "live-range.txt, line 7: 'copy.4"),
        (RANGES, PLACES.replace("size=88", f"size={2**63}"), "assignment.txt, line 12: size 92233"),
        (RANGES, "BufferAssignment:\n", "no buffer"),
        ("HloLiveRange (max 1):\n", PLACES, "no buffer"),
    ],
)
def test_halves_that_do_not_fit_are_refused(dump, ranges, places, message):
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(dump(ranges, places))
    assert len(str(caught.value).splitlines()) == 1


def test_half_a_program_is_not_read_from_memory():
    with pytest.raises(TraceError, match="upload: xla is not read here; jaxmem trace import"):
        read_trace_bytes(RANGES.encode(), "upload", 100)


def test_a_program_that_jax_compiles_now_is_read(tmp_path):
    program = (
        "import jax, jax.numpy as jnp\n"
        "jax.jit(lambda x: jnp.sort(jnp.tanh(x @ x)) @ x)(jnp.ones((32, 32)))\n"
    )
    flags = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"
    # Without the cache of programs, from which a compiled one comes without a dump.
    surroundings = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    surroundings.pop("JAX_COMPILATION_CACHE_DIR", None)
    subprocess.run([sys.executable, "-c", program], check=True, env=surroundings)
    files = list(tmp_path.glob("*jit__lambda*-live-range.txt"))
    assert files
    recording = read_trace(files[0])
    assert recording.peak_live >= 2 * 32 * 32 * 4


def test_values_of_zero_bytes_are_left_out_and_counted(dump):
    empty = " value: <93 empty @0> (size=0,offset=0): f32[0]{0}\n\nTotal"
    recording = read_trace(dump(places=PLACES.replace("\nTotal", empty)))
    assert recording.requests == read_trace(dump()).requests
    note = "values of zero bytes, for which XLA asks for no memory, left out: 1"
    assert note in recording.about.notes
