"""Oracle of the replay of recordings: every hole found anew at every request, in plain Python."""

from jaxmem.rules import RULES

NOWHERE = -1


class SlowReplay:
    """One arena of `cells` units, or one without a bound that grows."""

    def __init__(self, cells: int | None, threshold: int = 0):
        self.grows = cells is None
        self.top = cells or 0
        self.threshold = threshold
        self.live: dict[int, tuple[int, int]] = {}  # request -> (start, end)
        self.cursor = 0

    def holes(self) -> list[tuple[int, int]]:
        """(begin, end) of the holes, by address; of an arena that grows, those between blocks."""
        found, free = [], 0
        for start, end in sorted(self.live.values()):
            if start > free:
                found.append((free, start))
            assert start >= free
            free = end
        if free < self.top and not self.grows:
            found.append((free, self.top))
        return found

    def choose(self, rule: str, size: int) -> int:
        """The start of a request, NOWHERE if no hole fits."""
        fitting = [(begin, end) for begin, end in self.holes() if end - begin >= size]
        if not fitting:
            return NOWHERE
        places = RULES[rule].order
        assert places is not None, f"{rule} does not play in bytes"
        place = places[size > self.threshold]
        if place.hole == "next":
            assert not place.high
            onward = [max(begin, self.cursor) for begin, end in fitting
                      if end - max(begin, self.cursor) >= size]  # fmt: skip
            return min(onward, default=fitting[0][0])
        begin, end = {
            "first": fitting[0],
            "last": fitting[-1],
            "best": min(fitting, key=lambda hole: (hole[1] - hole[0], hole[0])),
            "worst": max(fitting, key=lambda hole: (hole[1] - hole[0], -hole[0])),
        }[place.hole]
        return end - size if place.high else begin

    def extend(self, size: int) -> int:
        """The start of a request that no hole holds: above all blocks."""
        start = max((end for _, end in self.live.values()), default=0)
        self.top = max(self.top, start + size)
        return start

    def play(self, rule: str, sizes, lifetimes) -> list[bool]:
        """Whether each request failed."""
        failed = []
        for now, size in enumerate(sizes):
            self.live = {
                request: block
                for request, block in self.live.items()
                if request + lifetimes[request] > now
            }
            start = self.choose(rule, size)
            if start == NOWHERE and self.grows:
                start = self.extend(size)
            failed.append(start == NOWHERE)
            if start != NOWHERE:
                self.live[now] = (start, start + size)
                self.cursor = start + size
        return failed


def high_water(rule: str, sizes, lifetimes) -> int:
    """The high-water mark of a rule in an arena without a bound."""
    arena = SlowReplay(None)
    assert not any(arena.play(rule, sizes, lifetimes))
    return arena.top


def failures(rule: str, sizes, lifetimes, cells: int, threshold: int = 0) -> list[bool]:
    """Which requests fail in an arena of `cells` units."""
    return SlowReplay(cells, threshold).play(rule, sizes, lifetimes)
