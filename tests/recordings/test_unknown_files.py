"""A file that cannot be read is told what it probably is, and each file is of one format only."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_samples import EXAMPLE, WRITTEN

from jaxmem.recordings import FORMATS, TraceError, read_trace, read_trace_bytes, write_store

# Of formats that the samples do not write.
OTHERS = {
    "minimalloc": b"id,lower,upper,size\nx,0,5,8\n",
    "memray": b"memray\0\x0d\0\0\0",
    "xla": b"HloLiveRange (max 3):\n",
    "live": b"jaxmem-live".ljust(4096, b"\0"),
    "preload": b"jaxmem-preload\0".ljust(16, b"\0").ljust(4096 + 131072, b"\0"),
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> dict[str, bytes]:
    """A file of each format, and each way to write it."""
    written = {name: write(EXAMPLE) for name, write in WRITTEN.items()}
    store = tmp_path_factory.mktemp("store") / "a.npz"
    write_store(store, read_trace_bytes(written["events"], "a.csv", 100))
    return written | OTHERS | {"jaxmem": store.read_bytes()}


def test_there_is_a_sample_of_every_format(samples):
    assert {name.partition(":")[0] for name in samples} == set(FORMATS)


def test_every_sample_is_claimed_by_exactly_one_format(samples):
    for name, content in samples.items():
        claims = [each.name for each in FORMATS.values() if each.told_by(content[: 2**16])]
        assert claims == [name.partition(":")[0]], name


NO_TRACES = {
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 140100\n",
        "it is a pointer of Git LFS in place of the file; run git lfs pull",
    ),
    "a web page": (
        b"\n<!DOCTYPE html>\n<html><body>heap.log</body></html>",
        "it is a web page, .* download the file itself",
    ),
    "an empty zip": (b"PK\x05\x06" + bytes(18), "it is an empty zip archive"),
    "xz": (b"\xfd7zXZ\0\0\x04", "it is a file packed with xz; unpack it"),
    "bzip2": (b"BZh91AY&SY", "it is a file packed with bzip2; unpack it"),
    "tar": (b"heap.log".ljust(257, b"\0") + b"ustar\0", "it is a tar archive; unpack it"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0", "it is a picture or a film; what is read"),
    "a document": (b"%PDF-1.7\n", "it is a PDF document"),
    "a program": (b"\x7fELF\x02\x01\x01", "it is a program or a library"),
    "a database": (b"SQLite format 3\0", "it is a database of SQLite; export its events as CSV"),
    "UTF-16": ("op,id,size\na,0,8\n".encode("utf-16"), "it is text in UTF-16, .* save it as UTF-8"),
    "ESP-IDF": (
        b"====== Heap Trace: 2 records (100 capacity) ======\n    52 bytes (@ 0x3fc9a000)\n",
        r"it is a dump of ESP-IDF's heap_trace_dump\(\); .* in which order they were freed",
    ),
    "Vulkan": (
        b"Vulkan Memory Allocator,Calls recording\n1,8\nConfig,Begin\n",
        "it is a recording of VulkanMemoryAllocator 2; version 3 of it records no more",
    ),
    "massif": (b"desc: (none)\ncmd: ./a.out\n", "massif output; it has sums"),
    "DHAT": (b'{"dhatFileVersion":2\n,"mode":"heap"}', "DHAT output; it has sums"),
    "perf": (b"PERFILE2\x68\0\0\0", "perf; it has samples, not every call"),
    "JSON": (b'{"name": "jaxmem", "size": 5}', 'it is JSON of another kind, \'{"name": '),
    "JSON over lines": (b'[\n {"op": "a", "size": 5}\n]', "it is JSON of another kind"),
    "bytes": (bytes(range(256)), "it is no text, and no binary file that is read"),
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n\t\n", "the file is empty"),
    "text": (b"\n\nhello, world\n", "line 3: unknown header 'hello, world'; it must be op,id,size"),
}
PACKINGS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("name", NO_TRACES)
def test_an_unknown_file_is_told_what_it_is_and_what_is_read(name, tmp_path):
    content, message = NO_TRACES[name]
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert len(str(caught.value).splitlines()) == 1
    # What is read comes from the registry.
    read = f"what is read: {', '.join(FORMATS)} (jaxmem trace import --help)"
    assert str(caught.value).endswith(read)
    with pytest.raises(TraceError, match=message):
        read_trace_bytes(content, "file.csv", most_lines=100)


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_packed_is_told_with_its_packing(packing):
    content = PACKINGS[packing](b"hello, world\n")
    with pytest.raises(TraceError, match=f"header 'hello, world' packed with {packing};"):
        read_trace_bytes(content, "file.csv.gz", most_lines=100)
    content = PACKINGS[packing](b"<html>")
    with pytest.raises(TraceError, match=f"it is a web page, .* packed with {packing};"):
        read_trace_bytes(content, "file.csv.gz", most_lines=100)


BITS = (
    b"-1",
    b"9" * 25,
    b"0x",
    b"\n",
    b"\0",
    b"{",
    b"null",
    b"1e999",
    b"NaN",
    b"(nil)",
    b"#",
    b" ",
)


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(samples, data):
    content = bytearray(data.draw(st.sampled_from([*map(samples.get, WRITTEN)])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 12))
        content[start:end] = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from(BITS)))
    said = ""
    try:
        read_trace_bytes(bytes(content), "file", most_lines=1000)
    except TraceError as error:
        said = str(error)
    assert "\n" not in said


def test_the_settings_of_an_import_explain_every_format():
    help_text = (Path(__file__).parents[2] / "conf" / "trace_import.yaml").read_text("utf-8")
    for name in FORMATS:
        assert f"\n#   {name} " in help_text, name
