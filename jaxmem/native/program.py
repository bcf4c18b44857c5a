"""What of a program's file tells whether a library can be loaded into it ahead of others."""

import os
import stat
import struct

FIRST_BYTES = 64 * 1024  # bytes in which its headers are looked for
ELF, SCRIPT = b"\x7fELF", b"#!"
WIDE, X86_64 = b"\2", b"\x3e\0"  # in the head of an ELF file
ELF_INTERPRETER = 3  # the kind of program header that names the dynamic loader
MOST_SCRIPTS = 4  # that run one another, as the kernel allows


def obstacle(program: str) -> str:
    """Says why the recorder cannot be loaded into a program; "" where nothing is known against it.

    Args:
        program: its path; of a script, what runs it is looked at.
    """
    for _ in range(MOST_SCRIPTS):
        try:
            about = os.stat(program)
            with open(program, "rb") as file:
                head = file.read(FIRST_BYTES)
        except (OSError, ValueError):
            return ""  # it may be run, and not read
        if not head.startswith(SCRIPT):
            return _obstacle(head, about)
        program = os.fsdecode(b"".join(head[2:].split(b"\n", 1)[0].split()[:1]))
    return ""


def _obstacle(head: bytes, about: os.stat_result) -> str:
    if (about.st_mode & stat.S_ISUID and about.st_uid != os.getuid()) or (
        about.st_mode & stat.S_ISGID and about.st_gid != os.getgid()
    ):
        return "it has rights that you have not (set-uid), so that nothing is loaded into it"
    if not head.startswith(ELF):
        return ""
    if head[4:5] != WIDE or head[18:20] != X86_64:
        return "it is no program for x86-64 in 64 bits; recorder=valgrind may record it"
    loader = _loader(head)
    if loader is None:
        return "it is a static program, as those of Go are, into which nothing is loaded"
    if b"musl" in loader:
        return "it is a program of musl, not of glibc; recorder=valgrind may record it"
    return ""


def _loader(head: bytes) -> bytes | None:
    """Finds the path of the dynamic loader in the head of an ELF file of 64 bits."""
    try:
        at, size, many = struct.unpack_from("<Q14x2H", head, 32)
        for header in range(at, at + size * many, size):
            kind, _, begin, _, _, length = struct.unpack_from("<2I4Q", head, header)
            if kind == ELF_INTERPRETER:
                return head[begin : begin + length]
    except (OverflowError, struct.error, ValueError):
        return b""  # headers beyond the head, or of no size: nothing is known
    return None
