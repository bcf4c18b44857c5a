"""The rules in words: what each does, where it shines and where it fails, and one picture.

All pictures show one memory: twelve cells have just been placed between the second and the third
block, and five are asked for. Where each rule puts them is written here, so that the page need not
wait for anything, and tested against the rules themselves.
"""

from typing import NamedTuple

from jaxmem.render import strip
from jaxmem.render.memory import BEFORE, Stretch, with_holes
from jaxmem.render.palette import NEVER, lifetime_colours, policy_colour

CELLS = 64
LAYOUT = ((0, 4), (12, 3), (27, 2), (36, 2), (48, 2), (56, 1))
SIZES = (12, 5)
FIRST_START = 15  # where every rule puts the twelve cells: no other hole holds them


class Rule(NamedTuple):
    """One rule."""

    name: str
    start: int | None  # of the five cells in the picture; None: no picture says it
    words: str
    sources: str


KNUTH = "Knuth, The Art of Computer Programming, volume 1, section 2.5"
WILSON = "Wilson, Johnstone, Neely and Boles 1995, Dynamic Storage Allocation: A Survey"
RULES = (
    Rule(
        "first",
        4,
        "Takes the lowest hole that is long enough. Small rests gather at the low end, and the "
        "high end stays whole for large requests. It is fast, and seldom much worse than the best "
        "rule.",
        f"{KNUTH}; {WILSON}",
    ),
    Rule(
        "second",
        29,
        "Takes the second-lowest hole that is long enough, or the only one. It passes over the "
        "rests that first-fit would use up, so they stay. It is a yardstick of an earlier project, "
        "not an allocator that anybody uses.",
        "the student project that this one goes on from; see README",
    ),
    Rule(
        "best",
        50,
        "Takes the shortest hole that is long enough. Large holes are kept for large requests, and "
        "what is left over is as short as can be: often too short for anything. On real programs "
        "it is among the best.",
        f"{KNUTH}; Johnstone and Wilson 1998, The Memory Fragmentation Problem: Solved?",
    ),
    Rule(
        "worst",
        38,
        "Takes the longest hole. What is left over is as long as can be, and so of use; but soon "
        "no long hole is left, and large requests fail. It is nearly always the worst choice.",
        WILSON,
    ),
    Rule(
        "next",
        29,
        "Goes on from where it placed last, and takes the first hole that is long enough. It "
        "searches least and spreads blocks over the whole memory. So blocks that die early lie "
        "beside those that stay, and holes do not grow together.",
        f"Bays 1977, A comparison of next-fit, first-fit, and best-fit; {KNUTH}",
    ),
    Rule(
        "two_ended",
        59,
        "Puts small requests at the low end of the memory and large ones at the high end. One "
        "threshold on the size decides, chosen on training sequences. Where size tells lifetime, "
        "blocks that die together lie together.",
        "README; where size and lifetime go together is measured there",
    ),
    Rule(
        "segregated",
        51,
        "As two-ended, but it chooses the hole as first- or as best-fit does, and then the end of "
        "the hole. Small requests go to its low end, larger ones to its high end. It is the rule "
        "that learned policies most often start from.",
        "README; the threshold and the holes are chosen on training sequences",
    ),
    Rule(
        "hint_fit",
        None,
        "Is told for how long a block will live, and puts it where it will long lie beside its "
        "neighbours. Blocks that die at one time leave one hole, not two. Without such a hint it "
        "is best-fit.",
        "Barrett and Zorn 1993, Using Lifetime Predictors to Improve Memory Allocation Performance",
    ),
    Rule(
        "learned",
        None,
        "A small network reads every hole that fits, at either end: its length, its neighbours and "
        "their ages, the request, the state of the memory. It was shown, for many placements, how "
        "many later requests fail after each of them. It takes the place that it thinks is worth "
        "most; Play shows what it thinks of the others.",
        "Tesauro and Galperin 1996, On-line Policy Improvement using Monte-Carlo Search; README",
    ),
)


def picture(rule: Rule) -> str:
    """The memory with what the rule does, as a bar; nothing for a rule without a picture."""
    if rule.start is None:
        return ""
    blocks = [Stretch(at, many, BEFORE - k) for k, (at, many) in enumerate(LAYOUT)]
    memory = with_holes([*blocks, Stretch(FIRST_START, SIZES[0], 0)], CELLS)
    goes = Stretch(rule.start, SIZES[1], 1)
    return strip.bar(
        memory, lifetime_colours([NEVER] * len(SIZES)), goes, colour=policy_colour(rule.name)
    )
