"""`jaxmem trace import`: what it prints, what it leaves behind, what it refuses."""

import errno
import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxmem.cli import main
from jaxmem.recordings import read_trace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LOG = """\
==9== Command: ./a.out --fast
--9-- malloc(1000) = 0x4A00000
--9-- malloc(0) = 0x4A00500
--9-- free(0x4A00000)
--9-- free(0x4AFFFF0)
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_import_is_told_kept_and_compared(here, capsys):
    Path("heap.log").write_text(LOG, encoding="utf-8")
    assert main(["trace", "import", "heap.log", "licence=CC BY 4.0, A. [Author]"]) == 0
    said = capsys.readouterr().out
    for text in ("./a.out --fast", "valgrind", "events", "3", "1,001 bytes", "heap.npz"):
        assert text in said
    assert "counted as one byte: 1" in said
    assert "left out: 1" in said
    assert "CC BY 4.0, A. [Author]" in said
    recording = read_trace("heap.npz")
    assert recording.about.licence == "CC BY 4.0, A. [Author]"
    assert recording.about.file == "heap.log"
    command = ["compare", "workload=trace", "workload.path=heap.npz", "policies=[first]"]
    assert main([*command, "out=run"]) == 0


def test_what_is_there_is_kept_unless_overwriting_is_asked_for(here, capsys):
    Path("heap.log").write_text(LOG, encoding="utf-8")
    Path("heap.npz").write_text("mine", encoding="utf-8")
    assert main(["trace", "import", "heap.log"]) == 2
    assert "heap.npz is there already; take another out=FILE, or" in capsys.readouterr().err
    assert Path("heap.npz").read_text(encoding="utf-8") == "mine"
    assert main(["trace", "import", "heap.log", "out=a=b,c.npz"]) == 0
    assert main(["trace", "import", "heap.log", "overwrite=true"]) == 0
    # A store can be imported again, also onto itself: it keeps what is known of it.
    assert main(["trace", "import", "heap.npz", "overwrite=true", "licence=MIT"]) == 0
    assert read_trace("heap.npz").about.format == "valgrind"
    assert sorted(os.listdir()) == ["a=b,c.npz", "heap.log", "heap.npz"]


def test_an_interruption_leaves_what_was_there(here, capsys, monkeypatch):
    Path("heap.log").write_text(LOG, encoding="utf-8")
    assert main(["trace", "import", "heap.log"]) == 0
    before = Path("heap.npz").read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    assert main(["trace", "import", "heap.log", "overwrite=true"]) == 130
    assert Path("heap.npz").read_bytes() == before
    assert sorted(os.listdir()) == ["heap.log", "heap.npz"]


HOSTILE = b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93\x8c\x04evil\x85R."
BAD = {
    "empty.csv": (b"", "empty.csv, line 1: the file is empty"),
    "empty.gz": (gzip.compress(b""), "line 1: the file is empty"),
    "no_allocation.csv": (b"op,id,size\n", "line 1: a header and no allocation"),
    "negative.csv": (b"op,id,size\na,1,-5\n", "line 2: size '-5'"),
    "huge.csv": (b"op,id,size\na,1,%d\n" % 2**63, "line 2: size '9223372036854775808'"),
    "double.csv": (b"op,id,size\na,1,5\nf,1,0\nf,1,0\n", "line 4: double free of id '1'"),
    "unknown.csv": (b"op,id,size\nf,1,0\n", "line 2: free of the unknown id '1'"),
    "duplicate.csv": (b"op,id,size\na,1,5\na,1,5\n", "line 3: id '1' is allocated while"),
    "mixed.csv": (b"op,id,size\r\na,1,5\rf,1,0\n", "line 2: "),
    "cut.gz": (gzip.compress(b"op,id,size\na,1,5\n")[:-9], ": the gzip data are truncated"),
    "cut.zip": (b"PK\x03\x04\x00\x00", "cut.zip: a store of jaxmem that is damaged"),
    "untraced.log": (
        b"==5== Memcheck, a memory error detector\n",
        "log without --trace-malloc=yes",
    ),
    "cut.bin": (b"memray\x00\x0b\x00\x00", "memray cannot read the recording"),
    "hostile.pickle": (HOSTILE, "byte 16: refused: the pickle asks for 'posix.mkdir'"),
    "claim.pickle": (b"\x80\x04\x8d" + struct.pack("<Q", 10**10), "claims 10,000,000,000 bytes"),
    "claim.rep": (b"1\n1\n10000000000\n1\na 0 5\n", "line 6: the file ends after 1 operations"),
    "cut.pickle": (pickle.dumps({"device_traces": []})[:-3], "the pickle is truncated"),
    "other.pickle": (pickle.dumps([1]), "no device_traces in the file"),
    "alone-live-range.txt": (b"HloLiveRange (max 3):\n", "the other half is missing"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "line 1: it is a picture"),
    "zeros": (bytes(10**6), "line 1: it is no text"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name, here, capsys):
    content, said = BAD[name]
    Path(name).write_bytes(content)
    refused(["trace", "import", name], said, capsys)
    assert os.listdir() == [name]  # nothing written


def refused(command: list[str], said: str, capsys) -> None:
    assert main(command) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    assert said in heard.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "trace import: which file?"),
        (["none.csv"], "none.csv: cannot be read (no such file"),
        (["."], "cannot be read (is a directory)"),
        (["a\0b"], "null"),
        (["none.csv", "format=cvs"], "unknown format 'cvs'"),
        (["none.csv", "formt=csv"], "did you mean format"),
        (["none.csv", "overwrite=1"], "overwrite is 1; true or false"),
        (["heap.log", "out=none/heap.npz"], "out=none/heap.npz cannot be written: No such file"),
        (["heap.log", "out=.", "overwrite=true"], "out=. is no ordinary file"),
        (["heap.log", "out=/dev/null", "overwrite=true"], "out=/dev/null is no ordinary file"),
        (["heap.log", "out=a\0b"], "cannot be written"),
    ],
)
def test_a_bad_command_is_refused_in_one_line(words, said, here, capsys):
    Path("heap.log").write_text(LOG, encoding="utf-8")
    refused(["trace", "import", *words], said, capsys)
    assert os.listdir() == ["heap.log"]


def test_a_file_without_permission_is_named(here, capsys, monkeypatch):
    really = Path.open

    def forbidden(path, *arguments, **options):
        if path.name == "secret.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return really(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)  # root, as which tests may run, may read all
    refused(["trace", "import", "secret.csv"], "secret.csv: cannot be read (permission", capsys)


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared with real traces beside the checkout")
def test_every_real_trace_is_imported(here, capsys):
    files = [path for path in sorted(DATA.rglob("*")) if path.suffix not in ("", ".md")]
    for number, path in enumerate(files):
        assert main(["trace", "import", str(path), f"out={number}.npz"]) == 0
        read, kept = read_trace(path), read_trace(f"{number}.npz")
        assert (kept.name, kept.about) == (read.name, read.about)
        np.testing.assert_array_equal(kept.size, read.size)
        np.testing.assert_array_equal(kept.lifetime, read.lifetime)
