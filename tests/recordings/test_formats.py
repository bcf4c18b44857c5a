"""What a trace file says is what is read, and every broken one is named by file and line."""

import gzip
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_samples import contents

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, TraceError, read_trace, read_trace_bytes

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture
def trace(tmp_path):
    """Writes a trace file of the given content and returns its path."""

    def write(content: str | bytes, name: str = "trace.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def event_oracle(events: list[tuple[str, str, int]]) -> tuple[list[int], list[int], int]:
    """Sizes, lifetimes and peak live bytes of events, by replaying them one by one."""
    size: list[int] = []
    lifetime: list[int] = []
    live: dict[str, int] = {}
    peak = 0
    for op, block, amount in events:
        if op == "a":
            live[block] = len(size)
            size.append(amount)
            lifetime.append(NEVER)
        else:
            request = live.pop(block)
            lifetime[request] = len(size) - request
        peak = max(peak, sum(size[request] for request in live.values()))
    return size, lifetime, peak


def test_a_lifetime_counts_requests_until_the_free(trace):
    path = trace("op,id,size\na,x,8\na,y,16\nf,x,0\na,z,4\nf,z,0\na,w,2\nf,y,0\n")
    # x is gone before request 2, z before request 3, y after the last (3), w never.
    assert contents(read_trace(path)) == ([8, 16, 4, 2], [2, 3, 1, NEVER])


def test_a_block_freed_at_once_lives_for_one_request(trace):
    assert contents(read_trace(trace("op,id,size\na,0,5\nf,0,5\na,1,5\n"))) == ([5, 5], [1, NEVER])


def test_an_id_may_be_used_again_after_its_free(trace):
    path = trace("op,id,size\na,0,5\nf,0,0\na,0,6\nf,0,0\na,0,7\n")
    assert contents(read_trace(path)) == ([5, 6, 7], [1, 1, NEVER])


def test_the_size_of_a_free_is_ignored_and_ids_are_any_text(trace):
    path = trace("op,id,size\na,0x7f é,5\nf,0x7f é,nonsense\na,,3\n")
    assert contents(read_trace(path)) == ([5, 3], [1, NEVER])


def test_columns_are_read_by_the_header(trace):
    assert contents(read_trace(trace("size,op,id\n8,a,0\n0,f,0\n"))) == ([8], [1])
    assert contents(read_trace(trace("size,upper,id,lower\n8,4,x,3\n"))) == ([8], [1])


def test_in_minimalloc_frees_come_first_then_allocations_in_file_order(trace):
    path = trace("id,lower,upper,size\nc,3,9,30\na,0,3,10\nd,3,4,40\nb,1,20,20\n")
    # Order a, b, c, d; a is freed at time 3, before c is allocated.
    recording = read_trace(path)
    assert contents(recording) == ([10, 20, 30, 40], [2, 3, 2, 1])
    assert (recording.peak_live, recording.events) == (90, 8)


def test_in_minimalloc_an_id_may_be_used_again_and_times_may_be_negative(trace):
    path = trace("id,lower,upper,size\nx,0,5,1\nx,-5,0,2\n")
    assert contents(read_trace(path)) == ([2, 1], [1, 1])


@pytest.mark.parametrize(
    "content",
    [
        b"op,id,size\r\na,0,8\r\nf,0,0\r\n",
        b"\xef\xbb\xbfop,id,size\na,0,8\nf,0,0\n",
        b"op,id,size\na,0,8\nf,0,0\n\n\r\n   \n",
        b" op , id,size \n a ,0, 8\t\nf,0 ,0",
        b"\n\nop,id,size\n\na,0,8\n\nf,0,0\n",
    ],
    ids=["crlf", "byte-order-mark", "trailing-blank-lines", "spaces", "blank-lines"],
)
def test_untidy_files_read_the_same_plain_or_gzip(trace, content):
    assert contents(read_trace(trace(content))) == ([8], [1])
    assert contents(read_trace(trace(gzip.compress(content)))) == ([8], [1])


def test_gzip_is_told_by_its_bytes_and_not_by_its_name(trace):
    content = b"op,id,size\na,0,8\n"
    assert read_trace(trace(content, "plain.csv.gz")).requests == 1
    packed = read_trace(trace(gzip.compress(content), "packed.v2.csv"))
    assert (packed.requests, packed.name) == (1, "packed.v2")


EVENT_FAULTS = {
    "free of an unknown id": ("a,0,8\nf,1,0\n", 3, "free of the unknown id '1'"),
    "double free": ("a,0,8\nf,0,0\na,1,2\nf,0,0\n", 5, "double free of id '0'.* line 3"),
    "double free after use again": ("a,0,8\nf,0,0\na,0,2\nf,0,0\nf,0,0\n", 6, "on line 5;"),
    "id still live": ("a,0,8\na,0,8\n", 3, "id '0' is allocated while it is still live"),
    "size negative": ("a,0,8\na,1,-4\n", 3, "size '-4'.*from 0 to 2\\^62"),
    "size NaN": ("a,0,NaN\n", 2, "size 'NaN'"),
    "size fraction": ("a,0,1.5\n", 2, "size '1.5'"),
    "size exponent": ("a,0,1e3\n", 2, "size '1e3'"),
    "size with underscore": ("a,0,1_000\n", 2, "size '1_000'"),
    "size in other digits": ("a,0,\u0661\n", 2, "size '\u0661'"),
    "size missing": ("a,0,\n", 2, "size ''"),
    "size just too large": (f"a,0,{2**62 + 1}\n", 2, f"size '{2**62 + 1}'"),
    "size absurd": (f"a,0,{'9' * 4000}\n", 2, "size '9{37}...'"),
    "unknown op": ("a,0,8\nr,0,8\n", 3, "unknown op 'r'; it must be a .* or f"),
    "too few fields": ("a,0,8\n\na,1\n", 4, "2 fields in 'a,1'.*asks for 3"),
    "too many fields": ("a,0,8,9\n", 2, "4 fields in 'a,0,8,9'"),
    "no allocation": ("\n", 1, "no allocation"),
    "only a line end": ("", 1, "no allocation"),
    "long line": ("a,0,8\na,1," + "8" * 5000, 3, "more than 4096 bytes in one line"),
    "line separator in an id": ("f,a\u2028b,8\n", 2, r"'a\\u2028b'"),
}
BUFFER_FAULTS = {
    "upper equals lower": ("x,0,3,8\ny,3,3,8\n", 3, "lower 3 and upper 3; upper must be larger"),
    "upper below lower": ("x,3,1,8\n", 2, "lower 3 and upper 1"),
    "lower not whole": ("x,0.5,1,8\n", 2, "lower '0.5'; a time is a whole number"),
    "upper absurd": (f"x,0,{2**62 + 1},8\n", 2, "upper '"),
    "too few fields": ("x,0,1\n", 2, "3 fields"),
    "id still live": ("x,4,9,1\ny,0,1,1\nx,0,5,1\n", 4, "id 'x' is allocated .*see line 2"),
    "no allocation": ("", 1, "no allocation"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("header", "fault"),
    [
        pytest.param(header, fault, id=f"{kind}: {name}")
        for kind, header, faults in (
            ("events", "op,id,size", EVENT_FAULTS),
            ("buffers", "id,lower,upper,size", BUFFER_FAULTS),
        )
        for name, fault in faults.items()
    ],
)
def test_a_broken_line_is_named_by_file_and_number(trace, pack, header, fault):
    body, line, message = fault
    path = trace(pack(f"{header}\n{body}".encode()))
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "the file is empty; what is read: jaxmem, .*events, minimalloc"),
        (b"\n\n", 1, "the file is empty"),
        (b"a,0,8\n", 1, "unknown header 'a,0,8'; it must be op,id,size"),
        (b"\nop,id,id\na,0,0\n", 2, "unknown header 'op,id,id'"),
        (b"op,id,size,extra\na,0,8,1\n", 1, "unknown header"),
        (b"%TXT-1.7\n", 1, "unknown header '%TXT-1.7'; it must be op,id,size .* of another format"),
        (b"op,id,size\na,0,8\na,\xff\xfe,8\n", 3, "not UTF-8 text"),
        (bytes(100_000), 1, "it is no text, and no binary file that is read"),
        (b"op,id,size\na,0,8\n" + bytes(range(1, 9)) * 1000, 3, "more than 4096 bytes"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_at_its_line(trace, content, line, message):
    path = trace(content)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("keep", [2, 12, 30, -9, -4, -1])
def test_a_truncated_gzip_is_refused(trace, keep):
    packed = gzip.compress(b"op,id,size\n" + b"".join(b"a,%d,8\n" % i for i in range(50)))
    path = trace(packed[:keep])
    with pytest.raises(TraceError, match=r"trace\.csv, line \d+: the gzip data are truncated"):
        read_trace(path)


def test_a_damaged_gzip_is_refused(trace):
    packed = bytearray(gzip.compress(b"op,id,size\na,0,8\n"))
    for position in (3, 12, len(packed) - 8):
        damaged = packed.copy()
        damaged[position] ^= 0xFF
        with pytest.raises(TraceError, match=r"line \d+: "):
            read_trace(trace(bytes(damaged)))


def test_a_path_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(TraceError, match=r"none\.csv: cannot be read \(no such file") as missing:
        read_trace(tmp_path / "none.csv")
    assert "op,id,size" in str(missing.value)
    with pytest.raises(TraceError, match=r"cannot be read .*is a directory"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="null") as odd:
        read_trace("one\ntwo\0")
    assert len(str(odd.value).splitlines()) == 1


def test_more_live_bytes_than_can_be_counted_are_refused(trace):
    path = trace(f"op,id,size\na,0,{2**62}\na,1,{2**62}\n")
    with pytest.raises(TraceError, match=f"^{re.escape(str(path))}: more than 2"):
        read_trace(path)
    path = trace(f"op,id,size\na,0,{2**62}\nf,0,0\na,1,{2**62}\nf,1,0\na,1,{2**62 - 1}\n")
    assert read_trace(path).peak_live == 2**62


@st.composite
def event_streams(draw):
    """Events with ids used again, frees between requests and after the last."""
    events: list[tuple[str, str, int]] = []
    live: list[str] = []
    for _ in range(draw(st.integers(1, 30))):
        block = draw(st.sampled_from([name for name in map(str, range(40)) if name not in live]))
        events.append(("a", block, draw(st.integers(1, 2**40))))
        live.append(block)
        for _ in range(draw(st.integers(0, len(live)))):
            events.append(("f", live.pop(draw(st.integers(0, len(live) - 1))), 0))
    return events


@settings(deadline=None, max_examples=60)
@given(event_streams())
def test_events_read_as_a_slow_replay_says(events):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.csv")
        path.write_text("op,id,size\n" + "".join(f"{o},{i},{s}\n" for o, i, s in events))
        recording = read_trace(path)
    size, lifetime, peak = event_oracle(events)
    assert contents(recording) == (size, lifetime)
    assert (recording.peak_live, recording.events) == (peak, len(events))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 2**40)),
        min_size=1,
        max_size=25,
    )
)
def test_buffers_read_as_their_events_say(buffers):
    # At equal times frees (0) come first, then allocations in the order of the file.
    events = sorted(
        [(lower, 1, n, "a") for n, (lower, _, _) in enumerate(buffers)]
        + [(lower + length, 0, n, "f") for n, (lower, length, _) in enumerate(buffers)]
    )
    expected = event_oracle([(op, str(n), buffers[n][2]) for _, _, n, op in events])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.csv")
        rows = [f"{n},{lo},{lo + length},{size}\n" for n, (lo, length, size) in enumerate(buffers)]
        path.write_text("id,lower,upper,size\n" + "".join(rows))
        recording = read_trace(path)
    assert (*contents(recording), recording.peak_live) == expected


def first_fit_high_water_mark(size: list[int], lifetime: list[int]) -> int:
    """First fit in an unbounded arena, block by block: the highest address ever used."""
    live: list[tuple[int, int, int]] = []  # start, end, expiry, by address
    mark = 0
    for request, (amount, life) in enumerate(zip(size, lifetime, strict=True)):
        live = [block for block in live if block[2] > request]
        start = 0
        for block in live:
            if block[0] - start >= amount:
                break
            start = block[1]
        live.append((start, start + amount, request + life))
        live.sort()
        mark = max(mark, start + amount)
    return mark


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared with real traces beside the checkout")
def test_every_real_trace_reads_with_the_golden_events_and_high_water_mark():
    golden = json.loads((SHARED / "golden/traces.json").read_text())["traces"]
    paths = [path for path in (SHARED / "data").rglob("*.csv*") if path.parent.name != "wee_alloc"]
    assert len(paths) >= len(golden)
    seen = Counter()
    for path in paths:
        recording = read_trace(path)
        seen["read"] += recording.requests > 0
        expected = golden.get(str(path.relative_to(SHARED / "data")))
        if expected is None:
            continue
        assert recording.events == expected["events"], path
        if recording.requests < 2100:
            step = expected["alignment"]
            size = (-(-recording.size // step) * step).tolist()
            aligned = Recording(recording.name, np.array(size), recording.lifetime)
            mark = first_fit_high_water_mark(size, recording.lifetime.tolist())
            assert mark / aligned.peak_live == pytest.approx(expected["first"], abs=1e-6), path
            seen["fitted"] += 1
    assert seen == {"read": len(paths), "fitted": 13}


def test_a_file_in_memory_reads_as_one_on_disk(trace):
    content = b"op,id,size\na,1,8\na,2,5\nf,1,0\na,1,3\n"
    for data in (content, gzip.compress(content)):
        read = read_trace_bytes(data, "mine.csv.gz", most_lines=5)
        assert contents(read) == contents(read_trace(trace(content)))
        assert read.name == "mine"


def test_no_more_lines_are_read_than_allowed_however_many_are_packed():
    bomb = gzip.compress(b"op,id,size\n" + b"a,1,8\nf,1,0\n" * 500_000)
    with pytest.raises(TraceError, match="line 101: too long: here at most 100 lines"):
        read_trace_bytes(bomb, "bomb.csv.gz", most_lines=100)


def test_a_name_with_control_characters_is_quoted():
    with pytest.raises(TraceError, match=r"'evil\\ncsv', line 1: the file is empty"):
        read_trace_bytes(b"", "evil\ncsv", most_lines=100)
