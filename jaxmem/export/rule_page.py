"""A policy as a page that a systems programmer can read and hard-code."""

import numpy as np

from jaxmem.arena.arena import NEVER
from jaxmem.export.approximation import (
    APPROXIMATED_IN,
    JUDGED_BY,
    LEARNED_FROM,
    Approximation,
    approximate,
)
from jaxmem.export.exported import Exported, SizeRule, only_in_bytes, without_plan
from jaxmem.recordings.class_rule import REQUEST_CLASSES, RuleNumbers
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, SURE, TINY, HoleScorer
from jaxmem.recordings.profile import CONTEXTS, FACTOR, SIZES_AN_OCTAVE
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.render.tables import markdown_row
from jaxmem.rules import RULES, Place

TERMS = 12  # of a scorer, the largest
_CLASS_PLACES = (Place("first"), Place("last", high=True), Place("best"), Place("best", high=True))
_HOLES = {
    "first": "the lowest hole",
    "last": "the highest hole",
    "best": "the shortest hole",
    "worst": "the longest hole",
    "next": "the lowest start at or after the end of the block placed last, else the lowest hole",
}
_CONVENTIONS = """\
Sizes and addresses are in units of the alignment; U is the size of the arena. A hole is a free run
of units, as long as it can be. Only holes that are long enough count, and of several that are equal
the lowest is taken; where there is none, the request fails."""
# What the features of a scorer mean, and what multiplies them.
_FEATURES = {
    "left": "each unit that is left over in the hole, over U",
    "sqrt left": "the square root of what is left over in the hole, over U",
    "exact": "a hole of exactly this size",
    "tightest": "the shortest hole",
    "largest": "the longest hole",
    "lowest": "the low end of the lowest hole",
    "highest": "the high end of the highest hole",
    "high end": "the high end of a hole",
    "address": "the middle of the block, over U",
    "address^2": "the square of the middle of the block, over U",
    "wall": "an end of the arena",
}
_FACTORS = {
    "size": "times s, the logarithm of size / U, over 3, and 1",
    "life": "times l, the logarithm of the expected lifetime, over 3, less 1",
    "unusual": "times the logarithm of the size, less its mean so far, over 3",
    "live": "times the share of the arena that is live",
    "begins": "until the first block is freed",
}


def rule_page(exported: Exported) -> str:
    """Returns the page, in Markdown.

    Raises:
        PolicyFileError: the policy plays in cells, or has a plan.
    """
    without_plan(exported, "to=rule")
    policy = only_in_bytes(exported, "to=rule")
    if isinstance(policy, SizeRule):
        parts = _of_size_rule(policy)
    elif isinstance(policy, ProfiledPolicy):
        parts = _of_class_rule(policy)
    else:
        parts = _of_scorer(policy, approximate(policy))
    return "\n\n".join([f"# {exported.name}", *parts]) + "\n"


def _of_size_rule(policy: SizeRule) -> list[str]:
    rule, (small, large) = RULES[policy.name], policy.places
    code = [f"take {_where_words(small)}"]
    if small != large:
        code = [
            f"if size <= {policy.threshold} units:",
            f"    take {_where_words(small)}",
            f"else: take {_where_words(large)}",
        ]
    return [
        rule.words,
        _CONVENTIONS,
        _code(code),
        "It needs nothing but the size of a request. It is the rule itself: nothing is left out.",
    ]


def _of_class_rule(policy: ProfiledPolicy) -> list[str]:
    rule, lifetime = policy.rule, policy.profile.lifetime
    long = f"{100 * np.mean(lifetime > rule.long):.0f} %" if len(lifetime) else "none"
    known = (
        f"The profile has {len(lifetime):,} contexts; {long} foretell a long life. A context "
        f"is the call sites of the last {', '.join(map(str, CONTEXTS))} requests, this one's among "
        "them; the longest that an earlier run has had tells the lifetime, and where even the call "
        "site alone is new, nothing is foretold. Contexts are known by a hash of the keys of their "
        "n call sites, newest first:"
    )
    formula = f"hash = n + sum of key[i] * 0x{FACTOR:X} ^ (i + 1) for i = 0 .. n - 1, modulo 2^64"
    sizes = (
        "Before the first request all keys are 0. Where a program's call sites are not known, "
        f"round({SIZES_AN_OCTAVE} * log2(bytes)) + 1 stands for the key. The table of hashes and "
        "lifetimes is PROFILE in the source that to=c writes."
    )
    return [
        "A request has one of four classes, by how long its block will live, which earlier runs of "
        "the program foretell, and by its size.",
        _CONVENTIONS,
        _class_table(rule),
        *_exceptions(policy),
        _code(
            [
                *(["if a context is excepted: take its place"] if rule.exceptions else []),
                "lifetime = foretold(call sites of the last requests)",
                *(
                    "if there is none:",
                    f"    take {_where_words(Place('best'))}",
                    *_class_code(rule),
                ),
            ]
        ),
        "## What earlier runs foretell",
        known,
        _code([formula]),
        sizes,
        "The policy is this rule with its profile: nothing is left out. Without the profile it is "
        "best fit.",
    ]


def _of_scorer(policy: HoleScorer, near: Approximation) -> list[str]:
    weights = np.asarray(policy.weights)
    largest = np.argsort(-np.abs(weights), kind="stable")[:TERMS]
    rows = [
        markdown_row([f"{weights[number]:+.2f}", _rule_words(HOLE_FEATURES[number])])
        for number in largest
    ]
    failed = [
        markdown_row(
            [
                cost.recording,
                f"{cost.requests:,}",
                *map(str, (cost.scorer, cost.rule, cost.best_fit)),
            ]
        )
        for cost in near.costs
    ]
    total = np.sum([cost[2:] for cost in near.costs], axis=0)
    code = [
        f"if live units < U / {1 / TINY:.0f} * live blocks:",
        f"    take {_where_words(Place('best'))}    # blocks are tiny: nothing to gain",
        *([] if _by_size(near.rule) else _lifetime_code(policy)),
        *_class_code(near.rule),
    ]
    return [
        "The policy scores both ends of every hole, and takes that which is worth most: a score is "
        "a sum of weighted terms. The rule here comes near to it, and is less than the policy.",
        _CONVENTIONS,
        _class_table(near.rule),
        _code(code),
        "## What the rule costs",
        f"It places {100 * near.agrees:.0f} % of the blocks of {', '.join(LEARNED_FROM)} where the "
        f"scores would, from which its numbers are. Failed requests of {len(JUDGED_BY)} others, in "
        f"arenas of {APPROXIMATED_IN} x peak live:",
        "\n".join(
            [
                markdown_row(["recording", "requests", "scores", "this rule", "best fit"]),
                markdown_row(["---"] * 5),
                *failed,
                markdown_row(["all", "", *map(str, total.tolist())]),
            ]
        ),
        "## The largest terms of the scores",
        f"{TERMS} of {len(weights)}; to=c writes all, and the sum of them.",
        "\n".join([markdown_row(["weight", "of"]), markdown_row(["---"] * 2), *rows]),
    ]


def _lifetime_code(policy: HoleScorer) -> list[str]:
    prior = dict(zip(PRIOR, np.asarray(policy.prior).tolist(), strict=True))
    return [
        "s = ln(size / U)",
        f"p = {prior['one']:.3f} {prior['size']:+.3f} * s {prior['size^2']:+.3f} * s^2",
        "if nothing has been freed yet:",
        f"    p = p {prior['begins']:+.3f} {prior['begins*size']:+.3f} * s",
        "n, t = of blocks of its call site and bytes that died: number, sum of ln(lifetime)",
        f"lifetime = exp(({SURE:g} * p + t) / ({SURE:g} + n))    # in requests",
    ]


def _exceptions(policy: ProfiledPolicy) -> list[str]:
    """Returns the contexts that are excepted from a rule, with where their requests go."""
    rows = [
        markdown_row([f"0x{int(policy.profile.key[at]):016x}", _where_words(_CLASS_PLACES[fit])])
        for at, fit in policy.rule.exceptions
    ]
    head = [markdown_row(["context", "goes to"]), markdown_row(["---"] * 2)]
    words = (
        "Requests in these contexts, by their hashes, are excepted; the last that applies counts."
    )
    return [words, "\n".join([*head, *rows])] if rows else []


def _class_table(rule: RuleNumbers) -> str:
    lines = [markdown_row(["class", "which", "goes to"]), markdown_row(["---"] * 3)]
    for number, name in enumerate(REQUEST_CLASSES[: 2 if _by_size(rule) else 4]):
        size = f"size {'>' if number % 2 else '<='} U / {rule.parts}"
        words = [size] if _by_size(rule) else [_lives(rule, long=number >= 2), size]
        name = name.removeprefix("short and ") if _by_size(rule) else name
        where = _where_words(_CLASS_PLACES[rule.fits[number]])
        lines.append(markdown_row([name, ", ".join(words), where]))
    return "\n".join(lines)


def _class_code(rule: RuleNumbers) -> list[str]:
    places = [_where_words(_CLASS_PLACES[fit]) for fit in rule.fits]
    small = f"if size <= U / {rule.parts}: take"
    if _by_size(rule):
        return [f"{small} {places[0]}", f"else: take {places[1]}"]
    return [
        f"if {_lives(rule, long=False)}:",
        *(f"    {small} {places[0]}", f"    else: take {places[1]}"),
        "else:",
        *(f"    {small} {places[2]}", f"    else: take {places[3]}"),
    ]


def _by_size(rule: RuleNumbers) -> bool:
    """Tells whether lifetimes change nothing."""
    return rule.fits[:2] == rule.fits[2:]


def _lives(rule: RuleNumbers, *, long: bool) -> str:
    if rule.long == NEVER - 1:
        return "never freed" if long else "freed some time"
    return f"lifetime {'>' if long else '<='} {rule.long} requests"


def _where_words(place: Place) -> str:
    if place.hole == "next":
        return _HOLES["next"]
    return f"{_HOLES[place.hole]}, at its {'high' if place.high else 'low'} end"


def _rule_words(feature: str) -> str:
    base, _, factor = feature.partition("*")
    return f"{_FEATURES[base]}, {_FACTORS[factor]}" if factor else _FEATURES[base]


def _code(lines: list[str]) -> str:
    return "\n".join(["```", *lines, "```"])
