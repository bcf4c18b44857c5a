"""Every format tells the same program, and its own ways of saying things are understood."""

import gzip
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from trace_samples import EXAMPLE, WRITTEN, contents, programs, replayed

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import FORMATS, Recording, TraceError, read_trace, read_trace_bytes

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PACKINGS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def read(content: str | bytes, name: str = "trace.txt") -> Recording:
    """What is read of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_trace(path)


def format_of(name: str) -> str:
    """The format of a sample of WRITTEN."""
    return name.partition(":")[0]


@settings(max_examples=40)
@given(events=programs())
def test_every_format_tells_the_same_program(events):
    program = replayed(events)
    for name, write in WRITTEN.items():
        recording = read(write(events))
        assert (name, contents(recording)) == (name, program)
        assert recording.about.format == format_of(name)
        assert (name, recording.about.notes) == (name, ())


@settings(max_examples=40)
@given(events=programs())
def test_minimalloc_tells_the_same_program(events):
    size, lifetime = replayed(events)
    # Request i comes at time 2i; a block that ends before request j ends at 2j - 1.
    ends = [2 * min(number + life, len(size)) - 1 for number, life in enumerate(lifetime)]
    rows = [
        f"{n},{2 * n},{end},{amount}\n"
        for n, (end, amount) in enumerate(zip(ends, size, strict=True))
    ]
    recording = read("id,lower,upper,size\n" + "".join(rows))
    assert recording.about.format == "minimalloc"
    left = len(size) - np.arange(len(size))
    assert contents(recording) == (size, np.minimum(lifetime, left).tolist())


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", WRITTEN)
def test_files_are_told_by_their_content_plain_or_packed(name, packing):
    content = PACKINGS[packing](WRITTEN[name](EXAMPLE))
    recording = read(content, "some.file")
    assert (recording.about.format, recording.about.file) == (format_of(name), "some.file")
    assert contents(recording) == replayed(EXAMPLE) == ([24, 100, 48, 8], [3, 2, NEVER, NEVER])
    stranger = read_trace_bytes(content, "some.file", most_lines=100)
    assert contents(stranger) == contents(recording)


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "pytorch-cuda"])
def test_mixed_line_ends_are_read_as_plain_ones(name):
    lines = WRITTEN[name](EXAMPLE).split(b"\n")
    mixed = b"".join(line + (b"\r\n" if n % 2 else b"\n") for n, line in enumerate(lines))
    assert contents(read(mixed)) == replayed(EXAMPLE)


def test_a_format_can_be_given_and_then_the_file_must_be_of_it(tmp_path):
    path = tmp_path / "trace"
    path.write_bytes(WRITTEN["wee-alloc"](EXAMPLE))
    assert read_trace(path, "wee-alloc").requests == 4
    with pytest.raises(TraceError, match="line 1: unknown header 'Alloc"):
        read_trace(path, "events")
    with pytest.raises(ValueError, match="unknown format 'valgrnd'; did you mean valgrind"):
        read_trace(path, "valgrnd")


def test_names_of_files_lose_their_suffixes():
    content = gzip.compress(WRITTEN["mtrace"](EXAMPLE))
    assert read(content, "heap.2.log.gz").name == "heap.2"
    assert read(content, ".log").name == ".log"


def test_a_block_whose_free_is_missing_ends_where_its_address_is_used_again():
    recording = read("--9-- malloc(5) = 0x10\n--9-- malloc(6) = 0x20\n--9-- malloc(7) = 0x10\n")
    assert contents(recording) == ([5, 6, 7], [2, NEVER, NEVER])
    assert recording.about.notes[0].endswith("their address is used again: 1")


MTRACE = """\
= Start
@ ./a.out:(f+0x1d)[0x5581] + 0x55d002a0 0x64
@ ./a.out:[0x5600] + 0x55d00310 0
@ /lib/libc.so.6:(fopen+0x1)[0x7f] + (nil) 0xffffff
@ ./a.out:(f+0x1d)[0x5581] + 0x55d00400 0x10
@ ./a.out:(g+0x2)[0x5590] ! 0x55d00400 0x7fffffffffff
- 0x55d002a0
@ ./a.out:(g+0x2)[0x5590] - 0xdead0
something else
= End
"""


def test_mtrace_tells_call_sites_and_failures():
    recording = read(MTRACE)
    assert contents(recording) == ([100, 1, 16], [3, NEVER, NEVER])
    assert recording.site is not None
    assert recording.site.tolist() == [0, 1, 0]
    assert recording.about.program == "./a.out"
    assert set(recording.about.notes) == {
        "allocations of zero bytes, counted as one byte: 1",
        "allocations that failed, left out: 2",
        "frees of blocks from before the recording began, left out: 1",
        "lines that are no event, left out: 1",
    }


FAULTS = {
    "malloc-lab: cut off": ("20\n2\n3\n1\na 0 5\nf 0\n", "line 7: .* ends after 2 operations"),
    "malloc-lab: a claim": (f"1\n1\n{10**10}\n1\na 0 5\n", "header says 10,000,000,000"),
    "malloc-lab: unknown free": ("a 0 5\nf 1\n", "line 2: f of id 1, which is not live"),
    "malloc-lab: unknown realloc": ("a 0 5\nr 1 5\n", "line 2: r of id 1"),
    "malloc-lab: duplicate": ("a 0 5\na 0 5\n", "line 2: id 0 is allocated while .* live"),
    "malloc-lab: negative": ("a 0 5\na 1 -5\n", "line 2: size '-5'"),
    "malloc-lab: huge": (f"a 0 5\na 1 {2**63}\n", "line 2: size '9223372036854775808'"),
    "malloc-lab: no event": ("a 0 5\nx 1\n", "line 2: 'x 1'; an operation is"),
    "wee-alloc: too early": ("Alloc(5),\nFree(1),\n", "line 2: free of block 1, which is not"),
    "wee-alloc: twice": ("Alloc(5)\nFree(0)\nFree(0)\n", "line 3: free of block 0, already"),
    "wee-alloc: huge": (f"Alloc({2**63})\n", "line 1: size 9223372036854775808"),
    "wee-alloc: negative": ("Alloc(5)\nAlloc(-5)\n", r"line 2: 'Alloc\(-5\)'"),
    "wee-alloc: only frees": ("Free(0)\n", "line 1: free of block 0"),
    "valgrind: huge": (f"--9-- malloc({2**64 - 1}) = 0x10\n", "line 1: size 18446744073709551615"),
    "valgrind: empty": ("--9-- free(0x10)\n", "line 2: no allocation"),
    "mtrace: huge": ("= Start\n+ 0x10 0xffffffffffffffff\n", "line 2: size 18446744073709551615"),
    "mtrace: cut off": ("= Start\n+ 0x10\n", "line 2: no size in '\\+ 0x10'"),
    "mtrace: empty": ("= Start\n= End\n", "line 3: no allocation"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named_with_its_line(fault):
    content, message = FAULTS[fault]
    with pytest.raises(TraceError, match=message) as caught:
        read(content)
    assert "trace.txt, line " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_in_a_log_long_lines_and_other_bytes_are_passed_over():
    log = b"--9-- malloc(5) = 0x10\n" + b"\xff" * 10_000 + b"\n--9-- free(0x10)\n"
    assert contents(read(log)) == ([5], [1])


def test_many_events_take_little_memory(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("op,id,size\n" + "a,1,8\nf,1,0\n" * 50_000, encoding="utf-8")
    tracemalloc.start()
    try:
        assert read_trace(path).events == 100_000
        # 36 bytes for each request, what arrays set aside, and pieces of the file.
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()


def test_how_far_the_reading_is_is_told(tmp_path):
    path = tmp_path / "long.csv.gz"
    path.write_bytes(gzip.compress(b"op,id,size\n" + b"a,1,8\nf,1,0\n" * 9000))
    told: list[tuple[int, int]] = []
    read_trace(path, report=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert told == sorted(told)


def shared_files() -> list[Path]:
    return [path for path in sorted(DATA.rglob("*")) if path.suffix not in ("", ".md")]


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared with real traces beside the checkout")
def test_every_real_trace_is_read():
    told = {path.name: read_trace(path) for path in shared_files()}
    assert len(told) >= 18
    assert told["find.trace"].about.format == "wee-alloc"
    assert told["find.trace"].events == 1130
    assert {each.about.format for each in told.values()} == {"wee-alloc", "events", "minimalloc"}


def test_formats_are_told_in_an_order_and_each_has_one_name():
    assert all(name == each.name for name, each in FORMATS.items())
    assert not FORMATS["memray"].from_strangers
