"""Records are sorted by several keys, in pieces that are merged."""

import heapq
import random
from operator import attrgetter


class Entry:
    """A record with fields of several kinds."""

    def __init__(self, random: random.Random) -> None:
        self.name = "".join(random.choices("abcdefghij", k=random.randint(3, 40)))
        self.amount = random.random()
        self.tags = tuple(random.choices(("red", "green", "blue", "grey"), k=random.randint(0, 4)))


def main() -> None:
    """What comes in is sorted piece by piece; the best of the merged ones stay."""
    source, best = random.Random(0), []
    for _ in range(4):
        pieces = []
        for _ in range(3):
            entries = [Entry(source) for _ in range(source.randint(10, 60))]
            entries.sort(key=lambda entry: (len(entry.tags), entry.name.swapcase()))
            pieces.append(sorted(entries, key=attrgetter("amount")))
        merged = list(heapq.merge(best, *pieces, key=attrgetter("amount")))
        best = merged[:100]


if __name__ == "__main__":
    main()
