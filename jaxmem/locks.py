"""Locks between processes: two that write the same files at once would mix them without a word."""

import os
import socket
from contextlib import suppress
from pathlib import Path

MOST_HOLDER_BYTES = 200  # bytes that are read of who holds a lock


class TakenError(ValueError):
    """Another process, or another part of this one, holds the lock: the message says who."""


class Lock:
    """A lock on a file of its own, which is there for as long as it is held.

    The system lets go of it when the process ends, however it does. Where there are no such locks
    (no fcntl, some network file systems, folders that cannot be written) there is no protection.
    """

    def __init__(self, path: Path) -> None:
        """Takes the lock; raises TakenError where another has it."""
        self._path = path
        self._handle = _locked(path)
        if self._handle is not None:
            with suppress(OSError):  # a full disk
                os.truncate(self._handle, 0)
                holder = f"process {os.getpid()} on {socket.gethostname()}\n"
                os.write(self._handle, holder.encode())

    @property
    def lost(self) -> bool:
        """True if somebody has deleted the file, as with the folder that it is in."""
        return self._handle is not None and not _is_file(self._path, self._handle)

    def release(self) -> None:
        """Lets go of the lock; nothing where it is not held."""
        if self._handle is None:
            return
        if not self.lost:
            with suppress(OSError):
                self._path.unlink()
        os.close(self._handle)
        self._handle = None


def _locked(path: Path) -> int | None:
    """Opens the file that holds the lock; None: there are no such locks here."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, MOST_HOLDER_BYTES).decode(errors="replace").strip()
            os.close(handle)
            raise TakenError(holder or "another process") from None
        except OSError:
            os.close(handle)
            with suppress(OSError):
                path.unlink()
            return None
        if _is_file(path, handle):
            return handle
        os.close(handle)  # whoever had it has deleted it in between


def _is_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False
