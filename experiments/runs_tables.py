"""The tables of the study of runs: what each policy needs, by family and over them."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from runs_features import FEATURES

from jaxmem.evaluation.statistics import RESAMPLES, TAILS
from jaxmem.recordings.families import Split
from jaxmem.render.palette import policy_title
from jaxmem.render.tables import markdown_row

Row = dict[str, float]  # arena needed / peak live, by policy
Kinds = dict[str, dict[str, dict[int, Row]]]  # figures by kind, family and run

RULES = ("first", "best", "two_ended")
TITLES = {
    **{name: policy_title(name) for name in (*RULES, "two_ended_tuned")},
    "class_rule": "class rule",
    "exceptions": "with exceptions",
    "plan": "plan",
    "learned": "chosen",
    "wrong": "another program's",
    "offline": "offline",
}
ON_THE_RULE = ("exceptions", "plan", "learned")
SEED = 2026  # of the bootstrap


def known(rows: Sequence[Row], titles: Iterable[str] = TITLES) -> list[str]:
    """Lists the policies, of these, of which all of these rows have figures."""
    return [name for name in titles if all(name in row for row in rows)]


class Summary(NamedTuple):
    """A policy over families and runs; intervals are by bootstrap over both."""

    mean: float  # geometric, of arena needed / peak live
    low: float
    high: float
    removed: float  # share of the excess of best-fit, or of what it is put beside
    removed_low: float
    removed_high: float
    beside_best: float  # geometric mean of arena needed / best-fit's
    worst_beside_best: float  # the run with the most


SUMMED: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("**{}**", lambda of: f"**{of.mean:.4f}**"),
    ("95 %", lambda of: f"{of.low:.3f} to {of.high:.3f}"),
    ("of best-fit's excess gone", lambda of: f"{of.removed:.0%}"),
    ("95 %", lambda of: f"{of.removed_low:.0%} to {of.removed_high:.0%}"),
    ("over best-fit", lambda of: f"{of.beside_best:.4f}"),
    ("the worst run", lambda of: f"{of.worst_beside_best:.4f}"),
)


def summaries(
    rows: Sequence[Sequence[Row]], titles: Iterable[str] = TITLES, beside: str = "best"
) -> dict[str, Summary]:
    """Summarises each policy of `titles` over F families with T runs each.

    Args:
        beside: the policy whose excess over peak live is looked at.
    """
    names = known([row for of in rows for row in of], dict.fromkeys([*titles, beside]))
    logs = np.log([[[row[name] for name in names] for row in of] for of in rows])  # [F, T, M]
    means = np.exp(logs.mean(axis=(0, 1)))
    resampled = np.exp(_resampled(logs))
    best = names.index(beside)
    found = {}
    for at, name in enumerate(names):
        low, high = np.percentile(resampled[:, at], TAILS)
        removed = _removed(means[best], means[at])
        removed_low, removed_high = np.percentile(
            _removed(resampled[:, best], resampled[:, at]), TAILS
        )
        times = logs[:, :, at] - logs[:, :, best]
        figures = (
            *(means[at], low, high, removed, removed_low, removed_high),
            *(np.exp(times.mean()), np.exp(times.max())),
        )
        found[name] = Summary(*map(float, figures))
    return found


def _resampled(logs: np.ndarray) -> np.ndarray:
    """Averages over families drawn again, and runs drawn again in each: float64[RESAMPLES, M]."""
    generator = np.random.default_rng(SEED)
    families, runs, _ = logs.shape
    drawn = generator.integers(families, size=(RESAMPLES, families))
    of_each = generator.integers(runs, size=(RESAMPLES, families, runs))
    return logs[drawn[:, :, None], of_each].mean(axis=(1, 2))


def _removed(best: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Returns the share of best-fit's excess over peak live that is gone; 0 where it has none."""
    excess = np.maximum(best - 1, 1e-9)
    return np.where(best > 1, (best - needed) / excess, 0.0)


def rows_of(kinds: Kinds) -> list[list[Row]]:
    """Lists the rows of all families of PyTorch, or of what else there is."""
    first = next(of for of in kinds.values() if of)
    return [list(rows.values()) for rows in first.values()]


def each_and_all(kinds: Kinds) -> dict[str, list[list[Row]]]:
    """Lists the rows of each family, and of all of the first kind."""
    each = {name: [list(rows.values())] for of in kinds.values() for name, rows in of.items()}
    return {**each, "together": rows_of(kinds)}


def figures_of(found: dict[str, Summary]) -> dict[str, dict[str, float]]:
    return {name: summary._asdict() for name, summary in found.items()}


def of_families(families: Iterable[dict[int, Row]]) -> dict[str, Summary]:
    return summaries([list(rows.values()) for rows in families])


def geometric(rows: Iterable[Row]) -> Row:
    """Averages the figures of runs."""
    listed = list(rows)
    return {
        name: float(np.exp(np.mean([np.log(row[name]) for row in listed])))
        for name in known(listed)
    }


def section(split: str, of: Split, kinds: Kinds) -> list[str]:
    """Writes the part of table.md on one split."""
    means = {
        name: geometric(rows.values()) for families in kinds.values()
        for name, rows in families.items()
    }  # fmt: skip
    names = [name for name in TITLES if any(name in mean for mean in means.values())]
    lines = [
        f"## `{split}`: learned from {len(of.learn)}, chosen by {len(of.choose)}, "
        f"tested on {len(of.test)}",
        "",
        markdown_row(["family", *(TITLES[name] for name in names)]),
        "|:--" + "|--:" * len(names) + "|",
    ]
    for kind, families in kinds.items():
        if not families:
            continue
        for name in families:
            mean = means[name]
            cells = (f"{mean[policy]:.4f}" if policy in mean else "" for policy in names)
            lines.append(markdown_row([name, *cells]))
        found = of_families(families.values())
        summary = [found.get(name) for name in names]
        for title, cell in SUMMED:
            cells = ("" if of is None else cell(of) for of in summary)
            lines.append(markdown_row([title.format(kind), *cells]))
    return [*lines, "", *_beside_the_rule(kinds), *_features(kinds)]


def _beside_the_rule(kinds: Kinds) -> list[str]:
    """Writes how much is gone of the excess that the class rule leaves, by family."""
    lines = [
        "Of the excess over peak live that the class rule leaves, gone (95 % over runs):",
        "",
        markdown_row(["family", "class rule", *(TITLES[name] for name in ON_THE_RULE)]),
        "|:--" + "|--:" * (1 + len(ON_THE_RULE)) + "|",
    ]
    for title, rows in each_and_all(kinds).items():
        found = summaries(rows, ON_THE_RULE, "class_rule")
        several = sum(map(len, rows)) > 1
        cells = [
            f"{of.removed:.0%}" + several * f" ({of.removed_low:.0%} to {of.removed_high:.0%})"
            for of in (found[name] for name in ON_THE_RULE)
        ]
        lines.append(markdown_row([title, f"{found['class_rule'].mean:.4f}", *cells]))
    return [*lines, ""]


def told_less_rows(kinds: Kinds) -> list[list[Row]]:
    """Lists the rows of the families, of those of `rows_of`, that have been told less."""
    told = {*FEATURES}.intersection
    most = max(len(told(row)) for of in rows_of(kinds) for row in of)
    return [of for of in rows_of(kinds) if all(len(told(row)) == most for row in of)]


def _features(kinds: Kinds) -> list[str]:
    """Writes what a class rule needs that is told less."""
    rows = told_less_rows(kinds)
    found = summaries(rows, FEATURES)
    if len({*found} & {*FEATURES}) == 1:  # what is told all
        return []
    lines = [
        markdown_row(
            [f"a class rule is told, {len(rows)} families", "needed", "of best-fit's excess gone",
             "95 %"]
        ),
        "|:--|--:|--:|--:|",
    ]  # fmt: skip
    for name, title in FEATURES.items():
        if name not in found:
            continue
        of = found[name]
        interval = f"{of.removed_low:.0%} to {of.removed_high:.0%}"
        lines.append(markdown_row([title, f"{of.mean:.4f}", f"{of.removed:.0%}", interval]))
    return [*lines, ""]
