"""Oracle of the scorer of holes: every hole, all that is known, every feature in plain Python."""

import math

from slow_replay import NOWHERE, SlowReplay


class SlowScorer(SlowReplay):
    """A bounded arena, and the weights by name.

    It follows placements that were found elsewhere, and checks each; scores that lie closer than
    `near` may be taken for one another.
    """

    def __init__(self, cells: int, weights: dict[str, float], prior: dict[str, float]):
        super().__init__(cells)
        self.cells, self.weights, self.prior = cells, weights, prior
        self.near = 1e-4
        self.scored = self.clear = 0  # placements by score, and those that were not near others
        self.tiny = 0  # placements by best fit because blocks were tiny
        self.failed = 0

    def follow(self, sizes, lifetimes, sites, starts, given=0) -> None:
        """Asserts that each request starts where the weights want it."""
        for now, (size, start) in enumerate(zip(sizes, starts, strict=True)):
            self.live = {
                request: block
                for request, block in self.live.items()
                if request + lifetimes[request] > now
            }
            fitting = [hole for hole in self.holes() if hole[1] - hole[0] >= size]
            used = sum(end - begin for begin, end in self.live.values())
            tiny = bool(self.live) and used / len(self.live) < self.cells / 256
            if not fitting:
                assert start == NOWHERE, now
                self.failed += 1
            elif tiny or now < given:
                assert start == self.choose("best", size), now
                self.tiny += tiny and now >= given
            else:
                known = knowledge(sizes, lifetimes, sites, now)
                self.check(size, start, fitting, known, used / self.cells)
            if start != NOWHERE:
                self.live[now] = (start, start + size)

    def check(self, size, start, fitting, known, filled) -> None:
        """Asserts that of all ends of holes that fit, none is worth more than that at `start`."""
        scores: dict[int, float] = {}
        for begin, end in fitting:
            for high, at in ((False, begin), (True, end - size)):
                features = self.features(begin, end, size, high, fitting, known, filled)
                assert set(features) == set(self.weights)
                score = sum(self.weights[name] * features[name] for name in features)
                scores[at] = max(scores.get(at, -math.inf), score)
        best = max(scores.values())
        assert scores[start] > best - self.near
        self.scored += 1
        self.clear += sum(score > best - self.near for score in scores.values()) == 1

    def features(self, begin, end, size, high, fitting, known, filled) -> dict[str, float]:
        """Each feature of one end of a hole by its name."""
        died, lived, begins, usual = known
        cells = self.cells
        share = math.log(size / cells)
        told = {
            "one": 1.0,
            "size": share,
            "size^2": share**2,
            "begins": begins,
            "begins*size": begins * share,
        }
        assert set(told) == set(self.prior)
        prior = sum(self.prior[name] * told[name] for name in told)
        life = (prior + lived) / (1 + died) / 3 - 1
        unusual = (math.log(size) - usual) / 3
        about = share / 3 + 1
        length = end - begin
        left = (length - size) / cells
        start = end - size if high else begin
        address = (start + size / 2) / cells
        exact = length == size
        last = end == max(end for _, end in fitting) and (high or exact)
        wall = end == cells if high else begin == 0
        root = math.sqrt(left)
        found = {
            "left": left,
            "sqrt left": root,
            "exact": exact,
            "tightest": length == min(end - begin for begin, end in fitting),
            "largest": length == max(end - begin for begin, end in fitting),
            "lowest": not high and begin == min(begin for begin, _ in fitting),
            "highest": last,
            "high end": high,
            "address": address,
            "address*size": address * about,
            "high end*size": high * about,
            "address*life": address * life,
            "high end*life": high * life,
            "address^2": address**2,
            "address^2*life": address**2 * life,
            "left*life": left * life,
            "sqrt left*life": root * life,
            "left*size": left * about,
            "wall": wall,
            "wall*life": wall * life,
            "address*unusual": address * unusual,
            "high end*unusual": high * unusual,
            "address*live": address * filled,
            "address*begins": address * begins,
            "high end*begins": high * begins,
            "left*begins": left * begins,
        }
        return {name: float(value) for name, value in found.items()}


def knowledge(sizes, lifetimes, sites, now) -> tuple[int, float, bool, float]:
    """How many blocks like request `now` have died, the sum of the logarithms of their lifetimes,
    whether nothing has died at all, and the mean logarithm of all sizes up to it."""
    dead = [request for request in range(now) if request + lifetimes[request] <= now]
    alike = [
        request
        for request in dead
        if (sizes[request], sites[request]) == (sizes[now], sites[now])
    ]  # fmt: skip
    lived = sum(math.log(lifetimes[request]) for request in alike)
    usual = sum(math.log(size) for size in sizes[: now + 1]) / (now + 1)
    return len(alike), lived, not dead, usual
