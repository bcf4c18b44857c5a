"""The lines of a trace in text, each of bounded length, and the numbers in them."""

import re
from collections.abc import Iterator

from jaxmem.recordings.bounds import LONGEST_LINE, LONGEST_PASSED
from jaxmem.recordings.source import Source, TraceError

NUMBER = re.compile(r"-?[0-9]{1,40}")


class Lines:
    """The lines of a source as stripped text, without the blank ones."""

    def __init__(self, source: Source, log: bool = False) -> None:
        """
        Args:
            log: other things stand in the file too: the end of a line that is too long is left
                out and what is no UTF-8 is replaced; otherwise both are errors.
        """
        self.source, self.log = source, log
        source.unit, source.number = "line", 1
        self.texts = self._texts()

    def __iter__(self) -> Iterator[str]:
        return self.texts

    @property
    def number(self) -> int:
        """The line read last, counted from 1."""
        return self.source.number

    def fault(self, message: str, line: int | None = None) -> TraceError:
        """Makes the error for what is wrong with `line`, by default the one read last."""
        return self.source.fault(message, line)

    def _texts(self) -> Iterator[str]:
        source, most = self.source, self.source.most
        # A bounded read, so that a binary file without line ends is not read whole.
        while raw := source.readline(LONGEST_LINE + 1):
            if most is not None and source.number > most:
                raise self.fault(f"too long: here at most {most:,} lines are read")
            if len(raw) > LONGEST_LINE:
                self._pass_over(raw)
            text = self._decode(raw)
            if text:
                yield text
            source.number += 1

    def _pass_over(self, raw: bytes) -> None:
        """Reads to the end of a line that is too long, of which `raw` is the beginning."""
        if not self.log:
            raise self.fault(f"more than {LONGEST_LINE} bytes in one line; a trace is CSV text")
        length = len(raw)
        while raw and not raw.endswith(b"\n"):
            raw = self.source.readline(LONGEST_LINE)
            length += len(raw)
            if length > LONGEST_PASSED:
                raise self.fault(f"more than {LONGEST_PASSED:,} bytes in one line; this is no log")

    def _decode(self, raw: bytes) -> str:
        coding = "utf-8-sig" if self.number == 1 else "utf-8"
        try:
            return raw.decode(coding, "replace" if self.log else "strict").strip()
        except UnicodeDecodeError:
            raise self.fault("not UTF-8 text; a trace is CSV text, plain or gzip") from None


def whole_number(text: str) -> int | None:
    """Reads the integer that `text` is; None for anything else (int() alone takes 1_0, U+0661)."""
    return int(text) if NUMBER.fullmatch(text) else None
