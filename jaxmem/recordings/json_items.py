"""The objects in an array of a JSON file, one by one: memory does not grow with the file."""

import codecs
import json
import re
from collections.abc import Iterator

from jaxmem.recordings.source import PIECE, Source

MOST_CHARACTERS = 2**24  # of one object, and of what stands before the array
BETWEEN = re.compile(r"[\s,]*")


def json_items(source: Source, key: str) -> Iterator[dict[str, object]]:
    """Yields the objects of the first array that stands behind `key`; others in it are passed over.

    `source.number` is the place of the object that was read last, counted from 1, as events.

    Raises:
        TraceError: the file is no such JSON, or is cut off; there are more objects than may be
            read of it; one of them is too long.
    """
    text = _Text(source)
    begin = re.compile(rf'"{re.escape(key)}"\s*:\s*\[')
    while (found := begin.search(text.held)) is None:
        if len(text.held) > MOST_CHARACTERS or not text.more():
            raise source.fault(f"no list of {key} in it")
    text.at = found.end()
    source.unit, source.number = "event", 0
    while True:
        text.at = BETWEEN.match(text.held, text.at).end()  # type: ignore[union-attr]
        if text.at == len(text.held):
            if not text.more():
                raise source.fault(f"the file ends inside the list of {key}; copy it again")
        elif text.held[text.at] == "]":
            return
        else:
            item = text.item()
            source.number += 1
            if source.most is not None and source.number > source.most:
                raise source.fault(f"too long: here at most {source.most:,} events are read")
            if isinstance(item, dict):
                yield item


class _Text:
    """The text of a file from the place that is read on."""

    def __init__(self, source: Source) -> None:
        self.source, self.held, self.at = source, "", 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._json = json.JSONDecoder(strict=False)  # profilers write line ends into names

    def more(self) -> bool:
        """Reads on, as much again as is there; False at the end of the file."""
        wanted = max(PIECE, len(self.held) - self.at)
        pieces: list[str] = []
        while wanted > 0 and (piece := self.source.piece()):
            pieces.append(self._decoder.decode(piece))
            wanted -= len(piece)
        self.held = self.held[self.at :] + "".join(pieces)
        self.at = 0
        return bool(pieces)

    def item(self) -> object:
        """Reads the value that begins here; what comes after it is read on from."""
        while True:
            try:
                value, end = self._json.raw_decode(self.held, self.at)
            except RecursionError:
                raise self.source.fault("it is nested too deeply") from None
            except ValueError as error:  # also a number of thousands of digits
                value, end, reason = None, len(self.held), str(error)
            else:
                reason = ""
            if end < len(self.held):
                self.at = end
                return value
            # A number could go on in what is not read yet, all else is not whole.
            if len(self.held) - self.at > MOST_CHARACTERS:
                raise self.source.fault(f"no JSON, or an event of more than 16 MiB ({reason})")
            if not self.more():
                raise self.source.fault("the file is cut off or damaged behind here; copy it again")
