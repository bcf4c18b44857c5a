"""Packed files are unpacked piece by piece, and what is cut off, damaged or a claim is said."""

import gzip
import tracemalloc
from itertools import pairwise

import pytest
import zstandard

from jaxmem.extras import MissingExtraError
from jaxmem.recordings import TraceError, read_trace, read_trace_bytes, unpacking

ROWS = b"".join(b"a,%d,%d\n" % (number, 1 + number % 977) for number in range(100_000))
CONTENT = b"op,id,size\n" + ROWS


def zstd(data: bytes, **options) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


PACK = {"gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("pack", PACK)
def test_a_file_of_several_packed_parts_is_one(pack):
    cuts = [0, 5, 5, 70_000, len(CONTENT)]
    packed = b"".join(PACK[pack](CONTENT[a:b]) for a, b in pairwise(cuts))
    assert read_trace_bytes(packed, "parts", 10**6).requests == 100_000


@pytest.mark.parametrize("pack", PACK)
def test_a_packed_file_cut_off_anywhere_is_refused_at_its_line(pack):
    packed = PACK[pack](CONTENT)
    assert len(packed) > 20_000
    for keep in (5, 12, 1000, len(packed) // 2, len(packed) - 1):
        with pytest.raises(TraceError, match=rf"cut, line \d+: the {pack} data are truncated"):
            read_trace_bytes(packed[:keep], "cut", 10**6)
    lines = []
    for keep in (len(packed) // 4, len(packed) // 2):
        with pytest.raises(TraceError) as caught:
            read_trace_bytes(packed[:keep], "cut", 10**6)
        lines.append(int(str(caught.value).split("line ")[1].split(":")[0]))
    assert 1 < lines[0] < lines[1]


@pytest.mark.parametrize("pack", PACK)
def test_a_damaged_byte_is_noticed(pack):
    options = {"write_checksum": True} if pack == "zstd" else {}
    packed = bytearray(PACK[pack](CONTENT, **options))
    for position in (len(packed) // 2, len(packed) - 2):
        damaged = packed.copy()
        damaged[position] ^= 0xFF
        with pytest.raises(TraceError, match=r"damaged, line \d+"):
            read_trace_bytes(bytes(damaged), "damaged", 10**6)


def test_a_window_of_gigabytes_is_refused():
    # Magic, no checksum, a window of 2^(10 + 21) bytes, and a block of one byte.
    packed = unpacking.ZSTD_MAGIC + bytes([0x00, 21 << 3]) + b"\x09\x00\x00a"
    with pytest.raises(TraceError, match="the zstd data are truncated or damaged"):
        read_trace_bytes(packed, "window", 10)


@pytest.mark.parametrize("pack", PACK)
def test_what_grows_when_unpacked_takes_no_memory(pack):
    bomb = PACK[pack](b"op,id,size\n" + bytes(10**8))
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(TraceError, match="line 2: more than 4096 bytes in one line"):
            read_trace_bytes(bomb, "bomb", 10)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_content_size_of_gigabytes_is_not_believed():
    # A frame that claims 10 GiB (its size in eight bytes) and has one byte.
    size = (10 * 2**30).to_bytes(8, "little")
    packed = unpacking.ZSTD_MAGIC + bytes([0xC0, 0x50]) + size + b"\x09\x00\x00a"
    tracemalloc.start()
    try:
        with pytest.raises(TraceError, match="line 1: "):
            read_trace_bytes(packed, "claim", 10)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_without_the_package_a_zstd_file_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "trace.csv.zst"
    path.write_bytes(zstd(CONTENT))
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"needs zstandard: uv run --extra traces"):
        read_trace(path)
