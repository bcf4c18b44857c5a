"""Reads pickles of plain data, and nothing else: dicts, lists, tuples, texts and numbers.

Python's own unpickler imports and calls whatever a pickle asks for. This one knows no instruction
that does: a pickle that asks for a class is refused, and the class is named. Every length that a
pickle claims is compared with what is there before anything is made of it, and what has been made
is weighed, since a kilobyte of packed data can ask for a million dicts.
"""

import struct
import sys
from collections.abc import Callable
from pickletools import opcodes
from typing import Any, TypeVar

from jaxmem.recordings.bounds import MOST_STEPS, PICKLED_EACH, STEPS_EACH
from jaxmem.recordings.source import Source, TraceError, quoted

LONGEST_NUMBER = 9  # bytes of an integer: 64 bits and a sign
INSTRUCTIONS_BETWEEN_REPORTS = 2**18  # instructions after which is told how far we are
WEIGHED = 2**12  # instructions after which the memory is compared with what is allowed
SLOT = 8  # bytes that a place in a list takes
MARK_BYTES = 40  # bytes, an integer and its slot
KEY_TYPES = frozenset({str, int})  # of dicts; to hash deeply nested tuples would overflow C's stack
STOP, RECALL = ord("."), ord("h")

T = TypeVar("T")


def read_plain_pickle(source: Source, what: str) -> object:
    """Reads the object in a pickle of protocol 2 to 5; keys of its dicts are texts or integers.

    Args:
        what: it is, for messages.
    Raises:
        TraceError: it asks for a class, has an instruction that plain data do not need, is
            truncated, or too large, as it lies there or once it is unpickled.
    """
    source.unit, source.number = "byte", 0
    most_bytes, most_steps = source.most_bytes, MOST_STEPS
    if source.most is not None:
        most_bytes, most_steps = PICKLED_EACH * source.most, STEPS_EACH * source.most
    return _Machine(source, source.whole(most_bytes, what), what, most_steps).run()


class _Machine:
    """The stack machine that a pickle is a program for."""

    def __init__(self, source: Source, data: bytes, what: str, most: int) -> None:
        self.source, self.data, self.what, self.most = source, data, what, most
        self.at = 0  # the byte to be read next
        self.stack: list[Any] = []
        self.marks: list[int] = []  # where in the stack lists, dicts and tuples begin
        self.memo: list[object] = []
        self.weight = 0  # bytes that the objects take, but for the stack and the memo

    def run(self) -> object:
        """Runs the program and returns what is on the stack when it stops."""
        data, stack, memo = self.data, self.stack, self.memo
        try:
            for done in range(self.most):
                if done % WEIGHED == 0:
                    self._weigh()
                if done % INSTRUCTIONS_BETWEEN_REPORTS == 0:
                    self.source.reached(self.at, len(data))
                code = data[self.at]
                self.at += 1
                if code == RECALL:  # the most frequent one: every key of a dict but the first
                    stack.append(memo[data[self.at]])
                    self.at += 1
                    continue
                if code == STOP:
                    return stack.pop()
                step = STEPS.get(code)
                if step is None:
                    raise self._refused(code)
                step(self)
        except (IndexError, TypeError):
            if self.at >= len(data):
                raise self._fault("the pickle is truncated here; copy the file again") from None
            raise self._fault("the pickle is damaged here; copy the file again") from None
        raise self._fault(f"too long: of {self.what} at most {self.most:,} objects are read")

    def _weigh(self) -> None:
        """Raises TraceError if the objects take more memory than is allowed."""
        slots = SLOT * (len(self.stack) + len(self.memo)) + MARK_BYTES * len(self.marks)
        if self.weight + slots > self.source.most_bytes:
            raise self._fault(
                f"too large: {self.what} may take {self.source.most_bytes:,} bytes of memory, and "
                "this one takes more"
            )

    def _fault(self, message: str) -> TraceError:
        return self.source.fault(message, max(self.at - 1, 0))

    def _refused(self, code: int) -> TraceError:
        """Makes the error for an instruction that plain data do not need."""
        named = next((op.name for op in opcodes if op.code == chr(code)), f"0x{code:02x}")
        if named == "GLOBAL":
            asked = self.data[self.at : self.at + 200].split(b"\n")[:2]
            named = ".".join(part.decode("utf-8", "replace") for part in asked)
        elif named == "STACK_GLOBAL" and all(type(part) is str for part in self.stack[-2:]):
            named = ".".join(self.stack[-2:])
        else:
            return self._fault(
                f"refused: the pickle has the instruction {named}, and {self.what} is made of "
                "plain dicts, lists, texts and numbers"
            )
        return self._fault(
            f"refused: the pickle asks for {quoted(named)}, and {self.what} needs no class or "
            "function; nothing of it was run"
        )

    def take(self, count: int) -> bytes:
        """Takes the next `count` bytes; raises IndexError at the end of the data."""
        end = self.at + count
        if end > len(self.data):
            raise self._fault(
                f"the pickle claims {count:,} bytes here and {len(self.data) - self.at:,} are "
                "left; copy the file again"
            )
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, width: int) -> int:
        """Reads the next unsigned number of so many bytes."""
        return int.from_bytes(self.take(width), "little")

    def push(self, value: object) -> None:
        """Puts a new object on the stack."""
        self.weight += sys.getsizeof(value)
        self.stack.append(value)

    def target(self, kind: type[T]) -> T:
        """Returns what lies on top and is about to grow; raises TypeError if of another kind."""
        value = self.stack[-1]
        if type(value) is not kind:
            raise TypeError
        self.weight -= sys.getsizeof(value)
        return value

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[object]:
        """Takes what lies on the stack since the last mark, and the mark itself, off it."""
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def text(self, width: int) -> None:
        """Pushes a text whose length has `width` bytes."""
        self.push(self.take(self.number(width)).decode("utf-8", "replace"))

    def long(self) -> None:
        """Pushes an integer of up to 64 bits."""
        count = self.number(1)
        if count > LONGEST_NUMBER:
            raise self._fault(f"a number of {count} bytes; numbers have at most 64 bits")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def append_all(self) -> None:
        items = self.since_mark()
        grown = self.target(list)
        grown.extend(items)
        self.weight += sys.getsizeof(grown)

    def append(self) -> None:
        item = self.stack.pop()
        grown = self.target(list)
        grown.append(item)
        self.weight += sys.getsizeof(grown)

    def set_all(self) -> None:
        items = self.since_mark()
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values) or not KEY_TYPES.issuperset(map(type, keys)):
            raise TypeError
        grown = self.target(dict)
        grown.update(zip(keys, values, strict=True))
        self.weight += sys.getsizeof(grown)

    def set(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        if type(key) not in KEY_TYPES:
            raise TypeError
        grown = self.target(dict)
        grown[key] = value
        self.weight += sys.getsizeof(grown)

    def tuple_of(self, count: int) -> None:
        """Makes the top `count` objects one tuple."""
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError
        self.stack[-count:] = [items]
        self.weight += sys.getsizeof(items)

    def remember(self, key: int) -> None:
        """Gives the top object a number: one that is known, or the next."""
        if key == len(self.memo):
            self.memo.append(self.stack[-1])
        else:
            self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        self.stack.append(self.memo[key])


def _push(value: object) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(value)


def _push_new(kind: type) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(kind())


def _push_unpacked(layout: str) -> Callable[[_Machine], None]:
    packed = struct.Struct(layout)
    return lambda machine: machine.push(packed.unpack(machine.take(packed.size))[0])


STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda machine: machine.take(1),  # the protocol
    0x95: lambda machine: machine.take(8),  # a frame: its length is no matter here
    ord("("): _Machine.mark,
    ord("N"): _push(None),
    0x88: _push(True),
    0x89: _push(False),
    ord("K"): lambda machine: machine.stack.append(machine.number(1)),  # Python has these already
    ord("M"): lambda machine: machine.push(machine.number(2)),
    ord("J"): _push_unpacked("<i"),
    ord("G"): _push_unpacked(">d"),
    0x8A: _Machine.long,
    0x8C: lambda machine: machine.text(1),
    ord("X"): lambda machine: machine.text(4),
    0x8D: lambda machine: machine.text(8),
    ord("]"): _push_new(list),
    ord("}"): _push_new(dict),
    ord(")"): _push(()),
    ord("a"): _Machine.append,
    ord("e"): _Machine.append_all,
    ord("s"): _Machine.set,
    ord("u"): _Machine.set_all,
    ord("t"): lambda machine: machine.push(tuple(machine.since_mark())),
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    0x94: lambda machine: machine.remember(len(machine.memo)),
    ord("q"): lambda machine: machine.remember(machine.number(1)),
    ord("r"): lambda machine: machine.remember(machine.number(4)),
    ord("j"): lambda machine: machine.recall(machine.number(4)),
}
