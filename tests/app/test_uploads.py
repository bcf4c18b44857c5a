"""What is uploaded is read as data, whatever it is, or refused in a sentence."""

import gzip
import pickle
import sys

import pytest

from jaxmem.app import judging
from jaxmem.app.asked import Uploaded
from jaxmem.app.judging import MOST_UPLOADED_LINES, task_of
from jaxmem.app.text_fields import Unclear

SNAPSHOT = {
    "segments": [],
    "device_traces": [
        [{"action": "alloc", "addr": 64 * number, "size": 100} for number in range(3)],
    ],
}
UPLOADS = {
    "events": b"op,id,size\na,1,100\na,2,100\na,3,100\n",
    "packed": gzip.compress(b"id,lower,upper,size\n1,0,9,100\n2,0,9,100\n3,0,9,100\n"),
    "valgrind": b"".join(b"--9-- malloc(100) = 0x%X\n" % (64 * number) for number in range(1, 4)),
    "snapshot": pickle.dumps(SNAPSHOT),
}


@pytest.mark.parametrize("kind", UPLOADS)
def test_every_format_that_is_safe_is_a_task(kind):
    task = task_of(Uploaded(UPLOADS[kind], "mine", 256, 1.1))
    assert (task.length, task.cells) == (3, 256)
    assert "peak live is 300 bytes, which take 231 cells" in task.notes[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"memray\0\x0d\0\0\0", "memray is not read here; jaxmem trace import makes a store of it"),
        (b"HloLiveRange (max 3):\n", "xla is not read here"),
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "asks for 'posix.system'"),
        (
            gzip.compress(b"--9-- free(0x10)\n" * (MOST_UPLOADED_LINES + 1), 1),
            "at most 200,000 lines are read",
        ),
        (gzip.compress(b"\x80\x02" + b"]" * 2 * 10**8, 1), "too long: of a CUDA memory snapshot"),
        (b"PK\x03\x04", "a store of jaxmem that is damaged"),
    ],
)
def test_what_is_not_read_gets_a_sentence(data, said):
    with pytest.raises(Unclear, match="mine") as caught:
        task_of(Uploaded(data, "mine", 256, 1.1))
    assert said in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="no bound on memory here")
def test_an_upload_that_would_take_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(judging, "MOST_READING_MEMORY", 2**24)
    dicts = b"\x80\x02(" + b"}" * 6_000_000 + b"t."  # 400 MB in a few kilobytes
    with pytest.raises(Unclear, match=r"mine.*: too large"):
        task_of(Uploaded(gzip.compress(dicts), "mine", 256, 1.1))
    assert task_of(Uploaded(UPLOADS["events"], "mine", 256, 1.1)).length == 3
