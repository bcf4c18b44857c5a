"""What is known against loading the recorder into a program, from the head of its file."""

import os
import struct
from pathlib import Path

import pytest

from jaxmem.native.program import obstacle


def elf(loader: str | None, *, wide: int = 2, machine: int = 62) -> bytes:
    """Writes the head of a program: what it is for, and with two headers, its dynamic loader."""
    name = b"" if loader is None else loader.encode() + b"\0"
    head = b"\x7fELF" + bytes([wide, 1, 1]) + bytes(9) + struct.pack("<2HI", 2, machine, 1)
    head += struct.pack("<3QI6H", 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    first = struct.pack("<2I6Q", 1, 4, 0, 0, 0, 0, 0, 0)
    kind = 1 if loader is None else 3
    second = struct.pack("<2I6Q", kind, 4, 176, 0, 0, len(name), len(name), 1)
    return head + first + second + name


GLIBC = "/lib64/ld-linux-x86-64.so.2"
FILES = {
    "glibc": (elf(GLIBC), ""),
    "static": (elf(None), "a static program, as those of Go"),
    "musl": (elf("/lib/ld-musl-x86_64.so.1"), "a program of musl, not of glibc; recorder=valgrind"),
    "narrow": (elf(GLIBC, wide=1), "no program for x86-64 in 64 bits; recorder=valgrind may"),
    "arm": (elf(GLIBC, machine=183), "no program for x86-64 in 64 bits"),
    "script": (b"#! ./static -x\nexit\n", "a static program"),
    "script-of-script": (b"#!./script\n", "a static program"),
    "loop": (b"#!./loop\n", ""),
    "nobody": (b"#!\n", ""),
    "text": (b"exit 3\n", ""),
    "empty": (b"", ""),
    "cut": (elf(GLIBC)[:70], ""),
    "beyond": (elf(GLIBC)[:32] + b"\xff" * 32, ""),
    "nothing": (elf(GLIBC)[:54] + bytes(2) + elf(GLIBC)[56:], ""),
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_told_by_the_head_of_the_file(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for each, (content, _) in FILES.items():
        Path(each).write_bytes(content)
    said, wanted = obstacle(name), FILES[name][1]
    assert wanted in said
    assert bool(wanted) == bool(said)


def test_rights_that_the_user_has_anyway_are_none(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_bytes(elf(GLIBC))
    program.chmod(0o4755)
    assert obstacle(str(program)) == ""
    monkeypatch.setattr(os, "getuid", lambda: program.stat().st_uid + 1)
    assert "rights that you have not (set-uid)" in obstacle(str(program))


def test_of_what_is_not_there_nothing_is_said(tmp_path):
    assert obstacle(str(tmp_path / "absent")) == ""
