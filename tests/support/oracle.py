"""A slow arena in plain Python, cell by cell, by which the fast ones are checked.

Memory is a list with the owner of every cell. Each rule is written as it is said in words, and
nothing is shared with the package.
"""

from dataclasses import dataclass

NOWHERE = -1  # the start of a request that is not placed
FITS = ("first", "second", "best", "worst", "next")


@dataclass(eq=False)
class Block:
    """A live block: the owner of `size` cells from `start` on, until the clock shows `expiry`."""

    start: int
    size: int
    expiry: int
    birth: int
    forecast: int  # predicted time of death, 0: none


@dataclass
class Side:
    """What lies beside a hole: a block, or the wall, which has no size, age or prediction."""

    wall: bool
    size: int = 0
    age: int = 0
    remaining: int = 0


@dataclass
class Hole:
    """A hole in which a request fits: where it starts at either end, and what lies beside."""

    low: int
    high: int
    length: int
    below: Side
    above: Side


class SlowArena:
    """An arena of `cells` cells, all free, whose clock shows 0."""

    def __init__(self, cells: int):
        self.cells = cells
        self.owner: list[Block | None] = [None] * cells
        self.now = 0
        self.cursor = 0
        self.high_water = 0

    # What changes memory

    def place(self, start: int, size: int, expiry: int, forecast: int = 0) -> None:
        """A block at `start`; the cursor stands at its end; NOWHERE changes nothing."""
        if start == NOWHERE:
            return
        assert size >= 1
        assert start >= 0
        assert start + size <= self.cells
        block = Block(start, size, expiry, self.now, forecast)
        for cell in range(start, start + size):
            assert self.owner[cell] is None, f"cell {cell} is taken"
            self.owner[cell] = block
        self.cursor = start + size
        self.high_water = max(self.high_water, start + size)

    def tick(self, now: int) -> None:
        """The clock shows `now`: a block with expiry e is gone when it shows e."""
        self.now = now
        for block in self.blocks():
            if block.expiry <= now:
                self._remove(block)

    def release(self, cell: int) -> None:
        """The block that covers `cell` is gone; nothing happens if none does."""
        if 0 <= cell < self.cells and self.owner[cell] is not None:
            self._remove(self.owner[cell])

    def _remove(self, block: Block) -> None:
        for cell in range(block.start, block.start + block.size):
            assert self.owner[cell] is block
            self.owner[cell] = None

    # What is in memory

    def blocks(self) -> list[Block]:
        """The live blocks, in address order."""
        return [
            block
            for cell, block in enumerate(self.owner)
            if block is not None and block.start == cell
        ]

    def holes(self) -> list[tuple[int, int]]:
        """(first cell, length) of every longest run of cells without an owner, by address."""
        found = []
        for cell, block in enumerate(self.owner):
            if block is not None:
                continue
            if found and sum(found[-1]) == cell:
                found[-1] = (found[-1][0], found[-1][1] + 1)
            else:
                found.append((cell, 1))
        return found

    def legal_starts(self, size: int) -> list[int]:
        """The cells from which on at least `size` cells are free without a gap."""
        assert size >= 1
        starts, ahead = [], 0
        for cell in reversed(range(self.cells)):
            ahead = 0 if self.owner[cell] else ahead + 1
            if ahead >= size:
                starts.append(cell)
        return starts[::-1]

    def fitting(self, size: int) -> list[tuple[int, int]]:
        """(first cell, length) of the holes of at least `size` cells, by address."""
        return [(start, length) for start, length in self.holes() if length >= size]

    def holes_that_fit(self, size: int, count: int) -> list[Hole]:
        """The first `count` holes in which `size` cells fit, with what lies beside them."""
        return [
            Hole(
                low=start,
                high=start + length - size,
                length=length,
                below=self._side(start - 1),
                above=self._side(start + length),
            )
            for start, length in self.fitting(size)[:count]
        ]

    def _side(self, cell: int) -> Side:
        if cell in (-1, self.cells):
            return Side(wall=True)
        block = self.owner[cell]
        # A prediction is over when its time has come; without one there is nothing to say.
        remaining = max(block.forecast - self.now, 0) if block.forecast else 0
        return Side(wall=False, size=block.size, age=self.now - block.birth, remaining=remaining)

    # Where a request goes

    def start_by(self, rule: str, size: int) -> int:
        """The start by one of FITS or `last`, at the low end of its hole; NOWHERE if none fits."""
        return getattr(self, f"_{rule}")(size) if self.fitting(size) else NOWHERE

    def _first(self, size: int) -> int:
        """The hole with the lowest address."""
        return self.fitting(size)[0][0]

    def _second(self, size: int) -> int:
        """The hole with the second-lowest address; the only hole when there is one."""
        holes = self.fitting(size)
        return holes[1][0] if len(holes) > 1 else holes[0][0]

    def _best(self, size: int) -> int:
        """The shortest hole; of equally short ones the lowest."""
        shortest = min(length for _, length in self.fitting(size))
        return next(start for start, length in self.fitting(size) if length == shortest)

    def _worst(self, size: int) -> int:
        """The longest hole; of equally long ones the lowest."""
        longest = max(length for _, length in self.fitting(size))
        return next(start for start, length in self.fitting(size) if length == longest)

    def _next(self, size: int) -> int:
        """The lowest legal start at or after the cursor, else the lowest of all."""
        starts = self.legal_starts(size)
        return next((start for start in starts if start >= self.cursor), starts[0])

    def _last(self, size: int) -> int:
        """The highest legal start."""
        return self.legal_starts(size)[-1]

    def high_end(self, start: int, size: int) -> int:
        """The highest start in the hole that `start` lies in."""
        if start == NOWHERE:
            return NOWHERE
        end = start
        while end < self.cells and self.owner[end] is None:
            end += 1
        return end - size

    # How full and how fragmented memory is

    def free(self) -> int:
        """Cells without an owner."""
        return self.owner.count(None)

    def live(self) -> int:
        """Cells with an owner."""
        return self.cells - self.free()

    def largest_hole(self) -> int:
        """The length of the longest hole, 0 when there is none."""
        return max((length for _, length in self.holes()), default=0)

    def external_fragmentation(self) -> float:
        """The share of the free cells that is outside the longest hole; 0 when none is free."""
        return 1 - self.largest_hole() / self.free() if self.free() else 0.0

    def unusable_free(self, size: int) -> float:
        """The share of the free cells in holes shorter than `size`; 0 when none is free."""
        short = sum(length for _, length in self.holes() if length < size)
        return short / self.free() if self.free() else 0.0

    def hole_histogram(self, bins: int) -> list[int]:
        """Holes of 1, of 2 to 3, of 4 to 7, ... cells."""
        lengths = [length for _, length in self.holes()]
        return [sum(2**k <= length < 2 ** (k + 1) for length in lengths) for k in range(bins)]


@dataclass
class Outcome:
    """What happened to one request."""

    placed: bool
    size: int
    live: int  # when the request has been answered, before the clock moves on
    high_water: int
    full: bool
    terminated: bool
    truncated: bool


class SlowGame:
    """Episode after episode on a slow arena; each request is answered by a start address.

    `sizes`, `lifetimes` and `hints` are rows of requests; `layout` is a list of (start, size).
    """

    def __init__(self, sizes, lifetimes, hints, cells, layout=(), stop_at_failure=False,
                 stop_above=2.0, sequence=0):  # fmt: skip
        self.rows = list(zip(sizes, lifetimes, hints, strict=True))
        self.cells, self.layout = cells, layout
        self.stop_at_failure, self.stop_above = stop_at_failure, stop_above
        self.begin(sequence)

    def begin(self, sequence: int) -> None:
        """An episode on `sequence`, in an arena that has only the layout in it, for ever."""
        self.sequence = sequence
        self.arena = SlowArena(self.cells)
        for start, size in self.layout:
            self.arena.place(start, size, expiry=10**9)
        self.arena.cursor = 0

    def begin_next(self) -> None:
        """An episode on the sequence that follows, the first after the last."""
        self.begin((self.sequence + 1) % len(self.rows))

    @property
    def size(self) -> int:
        """What the waiting request asks for; the last one stays when all are answered."""
        sizes = self.rows[self.sequence][0]
        return sizes[min(self.arena.now, len(sizes) - 1)]

    @property
    def hint(self) -> float:
        """The predicted lifetime of the waiting request, 0: none."""
        hints = self.rows[self.sequence][2]
        return hints[min(self.arena.now, len(hints) - 1)]

    def recent(self, count: int) -> list[int]:
        """The sizes of the requests before the waiting one, latest first; 0 before the first."""
        times = range(self.arena.now - 1, self.arena.now - 1 - count, -1)
        return [self.rows[self.sequence][0][time] if time >= 0 else 0 for time in times]

    def choices(self, actions: str, holes: int, addresses: int) -> list[tuple[int, bool]]:
        """(start, legal) of every action; the last one refuses, legal only if nothing fits."""
        arena, size = self.arena, self.size
        if actions == "holes":
            found = arena.holes_that_fit(size, holes)
            starts = [start for hole in found for start in (hole.low, hole.high)]
            starts += [NOWHERE] * (2 * holes - len(starts))
        elif actions == "fit":
            starts = [arena.start_by(rule, size) for rule in FITS]
        else:
            legal = set(arena.legal_starts(size))
            starts = [cell if cell in legal else NOWHERE for cell in range(addresses)]
        refuse = all(start == NOWHERE for start in starts)
        return [(start, start != NOWHERE) for start in starts] + [(NOWHERE, refuse)]

    def answer(self, start: int) -> Outcome:
        """The waiting request is placed at `start` or fails (NOWHERE); the clock moves on."""
        arena, size, now = self.arena, self.size, self.arena.now
        sizes, lifetimes, _ = self.rows[self.sequence]
        # A prediction is a whole number of requests, at least one.
        forecast = now + max(round(self.hint), 1) if self.hint > 0 else 0
        arena.place(start, size, now + lifetimes[now], forecast)
        placed, live = start != NOWHERE, arena.live()
        full = live > self.stop_above * self.cells
        arena.tick(now + 1)
        return Outcome(
            placed=placed,
            size=size,
            live=live,
            high_water=arena.high_water,
            full=full,
            terminated=full or (self.stop_at_failure and not placed),
            truncated=arena.now == len(sizes),
        )
