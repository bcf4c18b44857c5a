"""The registry of rules: what each is called, how it looks, what it does and what it needs.

Everything that lists rules asks here. It stands below every room and knows no JAX, since pictures
and the page ask too, before anything is compiled. `jaxmem.policies` makes a player of a record: a
rule with an `order` needs no code of its own, another one a function with its name in
`jaxmem.policies.placement_rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Which hole a rule chooses, and the end of it that a block takes."""

    hole: str  # first, best, worst, next or last, as an arena has them
    high: bool = False  # the high end; a last hole has no other


@dataclass(frozen=True)
class Tuning:
    """The numbers of a rule: a threshold in cells, and what may follow it."""

    asks: str  # the numbers in words
    kinds: Mapping[tuple[int, ...], str]  # what may follow the threshold, each in words
    as_best_fit: tuple[int, ...] | None = None  # of these, that which is best-fit if all is small
    covered: bool = False  # another rule has it among its kinds

    @property
    def count(self) -> int:
        """The count of its numbers."""
        return 1 + len(self.untuned)

    @property
    def untuned(self) -> tuple[int, ...]:
        """The numbers after the threshold where there is nothing to choose them by."""
        return self.as_best_fit or next(iter(self.kinds))


@dataclass(frozen=True)
class Rule:
    """One placement rule."""

    name: str  # on the command line and in files
    title: str  # what people read
    colour: str  # `#rrggbb`, in every picture
    words: str = ""  # three sentences for the page's About; "": it is not told there
    sources: str = ""  # where it is from
    example: int | None = None  # cell at which it places in the page's picture of the rules
    order: tuple[Place, Place] | None = None  # for small and for larger requests
    tuning: Tuning | None = None  # None: it has no numbers
    textbook: bool = False  # differences are to the strongest of these
    numbered: bool = False  # an arena finds its place, and one program plays all of these
    by_default: bool = True  # compared where nobody says which
    rival: bool = True  # learned policies are judged beside it, and may start from it
    needs_hints: bool = False  # it applies where lifetimes are predicted
    needs_ages: bool = False  # it asks when a neighbour was placed, or will die
    play: Callable[..., Any] | None = None  # how it chooses, where it was registered from outside

    @property
    def parts_by_size(self) -> bool:
        """Tells whether small and larger requests go to different places, by a threshold."""
        return self.order is not None and self.order[0] != self.order[1]

    @property
    def needs_upper_end(self) -> bool:
        """Tells whether it places at the high end of holes, which an arena that grows lacks."""
        return self.order is not None and any(place.high for place in self.order)


def _everywhere(hole: str) -> tuple[Place, Place]:
    return Place(hole), Place(hole)


_KNUTH = "Knuth, The Art of Computer Programming, volume 1, section 2.5"
_WILSON = "Wilson, Johnstone, Neely and Boles 1995, Dynamic Storage Allocation: A Survey"

# In the order in which they are listed; the place among those that are `numbered` is the number of
# an action. Colours are Okabe and Ito's (2008); their yellow is too faint on white, so hint_fit is
# brown. As seen with any colour vision, no two are nearer than 15 in CIE Lab.
_ALL = (
    Rule(
        name="first",
        title="first-fit",
        colour="#0072b2",
        words="Takes the lowest hole that is long enough. Small rests gather at the low end, and "
        "the high end stays whole for large requests. It is fast, and seldom much worse than the "
        "best rule.",
        sources=f"{_KNUTH}; {_WILSON}",
        example=4,
        order=_everywhere("first"),
        textbook=True,
        numbered=True,
    ),
    Rule(
        name="second",
        title="second-fit",
        colour="#56b4e9",
        words="Takes the second-lowest hole that is long enough, or the only one. It passes over "
        "the rests that first-fit would use up, so they stay. It is a yardstick of an earlier "
        "project, not an allocator that anybody uses.",
        sources="the student project that this one goes on from",
        example=29,
        textbook=True,
        numbered=True,
    ),
    Rule(
        name="best",
        title="best-fit",
        colour="#009e73",
        words="Takes the shortest hole that is long enough. Large holes are kept for large "
        "requests, and what is left over is as short as can be: often too short for anything. On "
        "real programs it is among the best.",
        sources=f"{_KNUTH}; Johnstone and Wilson 1998, The Memory Fragmentation Problem: Solved?",
        example=50,
        order=_everywhere("best"),
        textbook=True,
        numbered=True,
    ),
    Rule(
        name="worst",
        title="worst-fit",
        colour="#e69f00",
        words="Takes the longest hole. What is left over is as long as can be, and so of use; but "
        "soon no long hole is left, and large requests fail. It is nearly always the worst choice.",
        sources=_WILSON,
        example=38,
        order=_everywhere("worst"),
        textbook=True,
        numbered=True,
    ),
    Rule(
        name="next",
        title="next-fit",
        colour="#cc79a7",
        words="Goes on from where it placed last, and takes the first hole that is long enough. It "
        "searches least and spreads blocks over the whole memory. So blocks that die early lie "
        "beside those that stay, and holes do not grow together.",
        sources=f"Bays 1977, A comparison of next-fit, first-fit, and best-fit; {_KNUTH}",
        example=29,
        order=_everywhere("next"),
        numbered=True,
        rival=False,
    ),
    Rule(
        name="two_ended",
        title="two-ended",
        colour="#000000",
        words="Puts small requests at the low end of the memory and large ones at the high end. "
        "One threshold on the size decides, chosen on training sequences. Where size tells "
        "lifetime, blocks that die together lie together.",
        sources="measured where size and lifetime go together: docs/results.md",
        example=59,
        order=(Place("first"), Place("last", high=True)),
        tuning=Tuning(asks="a threshold in cells", kinds={(): ""}, covered=True),
    ),
    Rule(
        name="two_ended_tuned",
        title="tuned two-ended",
        colour="#332288",
        words="As two-ended, but it chooses the hole as first- or as best-fit does, and then the "
        "end of the hole. Small requests go to its low end, larger ones to its high end. It is the "
        "rule that learned policies most often start from.",
        sources="measured in docs/results.md; threshold and holes are chosen on training sequences",
        example=51,
        order=(Place("best"), Place("best", high=True)),
        tuning=Tuning(
            asks="a threshold in cells, and 0 or 1 for the holes of small and of larger requests",
            kinds={
                (0, 0): "outermost holes",
                (0, 1): "outermost hole for the small, best-fit's for the large",
                (1, 0): "best-fit's hole for the small, outermost for the large",
                (1, 1): "best-fit's holes",
            },
            as_best_fit=(1, 1),
        ),
    ),
    Rule(
        name="hint_fit",
        title="hint-fit",
        colour="#5c4300",
        words="Is told for how long a block will live, and puts it where it will long lie beside "
        "its neighbours. Blocks that die at one time leave one hole, not two. Without such a hint "
        "it is best-fit.",
        sources="Barrett and Zorn 1993, Using Lifetime Predictors to Improve Memory Allocation "
        "Performance",
        needs_hints=True,
        needs_ages=True,
    ),
    Rule(name="random", title="random", colour="#666666", by_default=False, rival=False),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _ALL}
NAMES = RULES.keys()  # with those that are registered later
CLASSICAL = tuple(rule.name for rule in _ALL if rule.textbook)  # the four of every textbook
FITS = tuple(rule.name for rule in _ALL if rule.numbered)
TUNED = {rule.name: rule.tuning.count for rule in _ALL if rule.tuning}  # and how many numbers
BOUNDED = tuple(rule.name for rule in _ALL if rule.needs_upper_end)


def _row_in_bytes(rule: Rule) -> tuple[bool, bool]:
    """Sorts the rules for recordings: those that need an upper end last, before them worst-fit."""
    return rule.needs_upper_end, rule.order is not None and rule.order[0].hole == "worst"


ORDERED = tuple(rule.name for rule in sorted(filter(lambda r: r.order, _ALL), key=_row_in_bytes))


def default_rules(has_hints: bool) -> list[Rule]:
    """Lists the rules that are compared where nobody says which.

    Args:
        has_hints: requests come with predicted lifetimes.
    """
    return [
        rule for rule in RULES.values() if rule.by_default and (has_hints or not rule.needs_hints)
    ]


def rivals(has_hints: bool) -> list[Rule]:
    """Lists those of them that learned policies are judged beside, and may start from."""
    return [rule for rule in default_rules(has_hints) if rule.rival]
