"""Standard output: nothing that a terminal or a pipe does may cost what was computed."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Lenient:
    """A standard stream that takes any text, and is silent from the first write that fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.fault: OSError | None = None  # why nothing is written any more

    def write(self, text: str) -> int:
        """Writes the text; characters that the stream does not have are escaped."""
        if self.fault is None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except OSError as error:
                self._silence(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes one text after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hands on what is still held back."""
        if self.fault is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._silence(error)

    def _silence(self, error: OSError) -> None:
        self.fault = error
        # Python writes what is still held back when it exits, and would complain then.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lenient_streams() -> Iterator[Lenient]:
    """Makes standard output and error lenient for as long as the `with` block lasts; the output."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Lenient(stream) for stream in before)
    try:
        yield sys.stdout
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def is_lost(fault: OSError | None) -> bool:
    """Tells whether something was to be printed and is lost, not just read by nobody."""
    return fault is not None and fault.errno != errno.EPIPE
