"""Colours and titles, the same in every picture, on the page and in a terminal; plain strings."""

import math
import zlib
from collections.abc import Iterable, Sequence

from jaxmem.rules import RULES

NEVER = 2**30  # a lifetime from here on: the block is never freed

INK = "#1f2328"  # text
MUTED = "#59636e"  # axes and second-rank text, 6:1 against white
EDGE = "#b6bcc4"  # the frame of a picture, and of free cells
HOLE = "#f3f4f6"  # free cells
LAYOUT = "#aab0b8"  # blocks that were there before the first request
HATCH = "#7d858f"
FAILED = "#c2183c"  # a request that failed
WASTED = "#f6aebb"  # cells that were free, and of no use, while a request failed
GRID = "#e4e7eb"

# Those of the rules are Okabe and Ito's (2008), as is this one.
POLICY_COLOURS = {**{rule.name: rule.colour for rule in RULES.values()}, "learned": "#d55e00"}
# Tol's "muted" scheme, less what would be taken for a colour above.
OTHER_COLOURS = ("#44aa99", "#882255", "#999933", "#aa4499", "#117733")

SPAN = 40  # the dark end of the shades lives so many times as long as the pale one, at least
UNTOLD = 0.55  # the shade of blocks that are all never freed
# Pale green over blue to navy, evenly darker: ColorBrewer's YlGnBu without its palest part, which
# would pass for a hole, and respaced so that equal steps are equal steps of lightness to the eye.
SHADES = (
    "#abdeb7", "#75c9bd", "#3eb3c4", "#2498c1", "#1f7bb6",
    "#2260a9", "#24449c", "#1c2d81", "#081d58",
)  # fmt: skip


def policy_colour(name: str) -> str:
    """Returns the colour of a policy, `#rrggbb`: the same in every picture, on every day."""
    if name in RULES:
        return RULES[name].colour
    if name in POLICY_COLOURS:
        return POLICY_COLOURS[name]
    return OTHER_COLOURS[zlib.crc32(name.encode()) % len(OTHER_COLOURS)]


def policy_title(name: str) -> str:
    """Returns what people read for a policy: "best-fit" for `best`; an unknown name as it is."""
    return RULES[name].title if name in RULES else name


def count(many: int, noun: str) -> str:
    """Writes a number with its noun: "1 cell", "2,048 cells"."""
    return f"{many:,} {noun}" if many == 1 else f"{many:,} {noun}s"


def shade(share: float) -> str:
    """Returns the colour at `share` (0 .. 1) of the way from pale to dark, `#rrggbb`."""
    place = min(max(share, 0.0), 1.0) * (len(SHADES) - 1)
    number = min(int(place), len(SHADES) - 2)
    low, high = channels(SHADES[number]), channels(SHADES[number + 1])
    mixed = [a + (b - a) * (place - number) for a, b in zip(low, high, strict=True)]
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in mixed)


def block_shade(request: int, requests: int) -> str:
    """Returns the colour of a block in a terminal, where lifetimes are not known: late ones dark.

    Args:
        request: from 0.
        requests: in the whole sequence.
    """
    return shade(0.9 * request / max(requests - 1, 1))


def lifetime_colours(lifetimes: Iterable[int]) -> list[str]:
    """Returns a colour for each block, dark if it lives long, by the logarithm of its lifetime.

    Blocks that are never freed are the darkest; where that is said of all, they are all alike.

    Args:
        lifetimes: requests, at least 1; `NEVER` or more: never freed.
    """
    known = [int(lifetime) for lifetime in lifetimes]
    mortal = [lifetime for lifetime in known if lifetime < NEVER]
    if not mortal:
        return [shade(UNTOLD)] * len(known)
    low, high = lifetime_range(mortal)
    return [shade(math.log(max(lifetime, 1) / low) / math.log(high / low)) for lifetime in known]


def lifetime_range(mortal: Iterable[int]) -> tuple[int, int]:
    """Returns the lifetimes at the pale and the dark end of the shades, from some blocks'."""
    lifetimes = [max(int(lifetime), 1) for lifetime in mortal]
    return min(lifetimes), max(max(lifetimes), SPAN * min(lifetimes))


def text_on(colour: str | Sequence[float]) -> str:
    """Returns black or white, whichever reads better on `colour` (WCAG 2 relative luminance).

    Args:
        colour: `#rrggbb`, or red, green, blue in 0 .. 1.
    """
    rgb = channels(colour) if isinstance(colour, str) else [float(c) for c in colour[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def channels(colour: str) -> list[float]:
    """Returns red, green and blue of `#rrggbb`, in 0 .. 1."""
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
