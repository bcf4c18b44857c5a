"""The table of the live allocator against a slow one in Python, and under sanitizers."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from repetition import slow

import jaxmem.native

NATIVE = Path(jaxmem.native.__file__).parent
PLAYER = Path(__file__).with_name("play_table.c")
FIRST_LOW, LAST_HIGH, BEST_LOW, BEST_HIGH, WORST_LOW, NEXT_LOW = FITS = range(6)
FREE, LISTED_LOW, LISTED_HIGH, ANYWHERE = 99, 100, 101, 1000
BY_LENGTH, BY_ADDRESS, LISTED = 1, 2, 4
KEPT = BY_LENGTH | BY_ADDRESS | LISTED
NOWHERE = 2**32 - 1

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the allocator needs Linux on x86-64 and a C compiler",
)


def player_of(folder: Path, *options: str) -> Path:
    """Compiles the table with the program that plays events in it."""
    program = folder / "play_table"
    words = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}", *options]
    done = subprocess.run([*words, "-o", program, PLAYER], capture_output=True, text=True)
    if done.returncode and "-fsanitize" in " ".join(options):
        pytest.skip("the compiler has no sanitizers")
    assert not done.returncode, done.stderr
    return program


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    return player_of(tmp_path_factory.mktemp("table"), "-O2")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    options = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return player_of(tmp_path_factory.mktemp("sanitized"), *options)


def played(player: Path, events: np.ndarray, limit: int, units: int, shift=4, kept=KEPT):
    """Plays events, uint32[E, 3]; the starts, uint32[E], and what the table says at the end."""
    head = np.array([limit, units, shift, kept, len(events), len(events)], np.uint32)
    given = head.tobytes() + events.astype(np.uint32).tobytes()
    done = subprocess.run([player], input=given, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    found = np.frombuffer(done.stdout, np.uint32)
    return found[:-4], found[-4:].tolist()


class SlowTable:
    """Holes as a sorted list of (low, high)."""

    def __init__(self, units: int):
        self.grows, self.holes = units == 0, [(0, units)] if units else []
        self.top, self.cursor, self.live, self.peak, self.high = units, 0, 0, 0, 0

    def place(self, units: int, fit: int) -> int:
        holes = [hole for hole in self.holes if hole[1] - hole[0] >= units]
        onward = [h for h in holes if h[1] - max(h[0], self.cursor) >= units]
        if not holes:
            if not self.grows:
                return NOWHERE
            start, self.top = self.top, self.top + units
        else:
            low, high = {
                FIRST_LOW: lambda: min(holes),
                LAST_HIGH: lambda: max(holes),
                BEST_LOW: lambda: min(holes, key=lambda h: (h[1] - h[0], h[0])),
                BEST_HIGH: lambda: min(holes, key=lambda h: (h[1] - h[0], h[0])),
                WORST_LOW: lambda: min(holes, key=lambda h: (h[0] - h[1], h[0])),
                NEXT_LOW: lambda: min(onward or holes),
            }[fit]()
            start = high - units if fit in (LAST_HIGH, BEST_HIGH) else low
            if fit == NEXT_LOW and onward:
                start = max(low, self.cursor)
            self.holes.remove((low, high))
            parts = [(low, start), (start + units, high)]
            self.holes = sorted(self.holes + [part for part in parts if part[0] < part[1]])
        self.cursor, self.live = start + units, self.live + units
        self.peak, self.high = max(self.peak, self.live), max(self.high, self.cursor)
        return start

    def free(self, start: int, units: int) -> None:
        self.live -= units
        low, high = start, start + units
        for hole in [hole for hole in self.holes if hole[1] == low or hole[0] == high]:
            self.holes.remove(hole)
            low, high = min(low, hole[0]), max(high, hole[1])
        if high == self.top and self.grows:
            self.top = low
        else:
            self.holes = sorted([*self.holes, (low, high)])


def story(seed: int, count: int, sizes: np.ndarray, fits, units: int):
    """Events, with what the slow table makes of them: the starts, and its figures."""
    random, table = np.random.default_rng(seed), SlowTable(units)
    live: list[int] = []
    events, starts, of = [], [], {}
    for number in range(count):
        # In turns there are more blocks and fewer.
        if live and random.random() < (0.3 if number // 400 % 2 else 0.6):
            block = live.pop(random.integers(len(live)))
            start, size = of[block]
            if start != NOWHERE:
                table.free(start, size)
            events.append((FREE, block, 0))
            starts.append(start)
        else:
            size, fit = int(random.choice(sizes)), int(random.choice(fits))
            start = table.place(size, fit)
            of[number] = start, size
            live.append(number)
            events.append((fit, number, size))
            starts.append(start)
    return np.array(events), starts, [table.top, table.peak, table.high, len(table.holes)]


SIZES = {
    "one": np.array([1]),
    "tiny": np.arange(1, 9),
    "small": np.geomspace(1, 500, 40).astype(int),
    "around the bins": np.arange(1000, 1050),
    "large": np.geomspace(1, 40_000, 200).astype(int),
    "alike": np.array([2048, 2049, 2050, 4096, 4097]),
}


@pytest.mark.parametrize("grows", [True, False], ids=["grows", "bounded"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("fits", [tuple(FITS), *slow(*(((fit,),) for fit in FITS))], ids=str)
def test_every_block_goes_where_a_slow_table_puts_it(player, fits, sizes, grows):
    if grows and set(fits) == {LAST_HIGH}:
        fits = (LAST_HIGH, FIRST_LOW)
    units = 0 if grows else int(SIZES[sizes].mean() * 60)
    for seed in range(2):
        events, starts, last = story(seed, 900, SIZES[sizes], fits, units)
        found, figures = played(player, events, 1 << 24, units)
        assert found.tolist() == starts
        assert figures == last


@pytest.mark.parametrize(("kept", "fits"), [(BY_LENGTH, (2, 3, 4)), (BY_ADDRESS, (0, 1, 5))])
def test_one_index_is_enough_for_its_fits(player, kept, fits):
    for units in (0, 9000):
        events, starts, last = story(5, 3000, SIZES["small"], fits, units)
        assert played(player, events, 1 << 22, units, kept=kept) == (pytest.approx(starts), last)


@pytest.mark.parametrize("shift", [4, 6, 9])
def test_units_of_any_size_play_the_same(player, shift):
    events, starts, last = story(7, 1500, SIZES["small"], FITS, 7000)
    found, figures = played(player, events, 7000, 7000, shift)
    assert (found.tolist(), figures) == (starts, last)


def test_blocks_may_be_put_at_the_ends_of_holes_in_the_list(player):
    random, events, live = np.random.default_rng(3), [], []
    for number in range(4000):
        if live and random.random() < 0.5:
            events.append((FREE, live.pop(random.integers(len(live))), 0))
        else:
            what = int(random.choice([LISTED_LOW, LISTED_HIGH, BEST_LOW]))
            events.append((what, number, int(random.integers(1, 90))))
            live.append(number)
    events = np.array(events)
    found, (_, _, _, holes) = played(player, events, 1500, 1500)
    taken, where, failed = np.zeros(1500, bool), {}, 0
    for (what, block, units), start in zip(events.tolist(), found.tolist(), strict=True):
        if what == FREE:
            if where[block] is not None:
                taken[where[block]] = False
            continue
        where[block] = slice(start, start + units) if start != NOWHERE else None
        failed += start == NOWHERE
        if start != NOWHERE:
            assert start + units <= 4000
            assert not taken[where[block]].any()
            taken[where[block]] = True
    assert 0 < failed < 1000
    edges = np.diff(np.concatenate([[1], taken, [1]]).astype(int))
    assert holes == np.count_nonzero(edges == -1)


@pytest.mark.parametrize("build", ["player", "sanitized"])
def test_a_block_may_be_put_wherever_all_of_it_is_free(build, request):
    random, taken, live, events, starts = np.random.default_rng(1), np.zeros(900, bool), [], [], []
    where: dict[int, slice] = {}
    for number in range(3000):
        if live and random.random() < 0.5:
            block = live.pop(random.integers(len(live)))
            events.append((FREE, block, 0))
            starts.append(where[block].start)
            taken[where[block]] = False
            continue
        units, start = int(random.integers(1, 40)), int(random.integers(0, 920))
        events.append((ANYWHERE + start, number, units))
        if start + units > 900 or taken[start : start + units].any():
            starts.append(NOWHERE)
            continue
        where[number] = slice(start, start + units)
        taken[where[number]] = True
        live.append(number)
        starts.append(start)
    found, (_, _, _, holes) = played(request.getfixturevalue(build), np.array(events), 900, 900)
    assert found.tolist() == starts
    assert starts.count(NOWHERE) > 200
    edges = np.diff(np.concatenate([[1], taken, [1]]).astype(int))
    assert holes == np.count_nonzero(edges == -1)


@pytest.mark.parametrize("units", [0, 30_000], ids=["grows", "bounded"])
def test_sanitizers_find_nothing(sanitized, units):
    for sizes in SIZES.values():
        events, starts, last = story(11, 1200, sizes, FITS, units)
        found, figures = played(sanitized, events, 1 << 24, units)
        assert (found.tolist(), figures) == (starts, last)


@pytest.mark.slow
def test_long_stories_end_as_those_of_a_slow_table(player):
    for seed in range(100):
        sizes = list(SIZES.values())[seed % len(SIZES)]
        units = 0 if seed % 3 else int(sizes.mean() * 200)
        events, starts, last = story(seed, 6000, sizes, FITS, units)
        found, figures = played(player, events, 1 << 24, units)
        assert (found.tolist(), figures) == (starts, last)
