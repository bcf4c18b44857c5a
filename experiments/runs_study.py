"""What a policy needs that was learned from earlier runs of the same program, on its later ones.

`python experiments/runs_study.py` learns on each family of runs, as each split of
`jaxmem.recordings.families` says, and plays runs that nothing was learned from or chosen by, in
bytes. Every figure is kept in `rows` below the folder of results, and a second start goes on from
there; `results.json`, `table.md` and the picture are made of the rows that there are. Its options
are the fields of `Options`, as `splits=[many] families=[convnet,lstm] out=DIR`.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from rich.console import Console
from runs_features import FEATURES, HINT_FIT, by_nothing, told_less
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.statistics import RESAMPLES, TAILS
from jaxmem.recordings import Recording, alignment_of
from jaxmem.recordings.class_rule import CLASS_FITS, RuleNumbers, class_rule
from jaxmem.recordings.families import Split, family, family_names, splits
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.learning import BEST_FIT, CLASS_RULE, EXCEPTIONS, PLAN, learn_from_runs
from jaxmem.recordings.offline_packing import offline_packing
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.policy_file import load_byte_policy, small_units
from jaxmem.recordings.profiled_policy import ProfiledPolicy, save_profiled
from jaxmem.recordings.replay import ReplayEvents, events_of
from jaxmem.recordings.rule_search import find_rule
from jaxmem.render.palette import policy_title
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.report import markdown_row
from jaxmem.render.trace_study import ProgramRow, draw_programs
from jaxmem.settings.learner import RuleSearchConfig
from jaxmem.whole_files import write_whole

Row = dict[str, float]  # arena needed / peak live, by policy

MALLOC = ("cc1", "perl", "pipeline", "sqlite")
TORCH = tuple(name for name in family_names() if name not in MALLOC)
KINDS = {"tensors of PyTorch on a CPU": TORCH, "malloc of programs": MALLOC}
RULES = ("first", "best", "two_ended")
TITLES = {
    **{name: policy_title(name) for name in (*RULES, "two_ended_tuned")},
    HINT_FIT: policy_title(HINT_FIT),
    "class_rule": "class rule",
    "exceptions": "with exceptions",
    "plan": "plan",
    "learned": "chosen",
    "wrong": "another program's",
    "offline": "offline",
}
ON_THE_RULE = ("exceptions", "plan", "learned")
DRAWN = (*RULES, "two_ended_tuned", "learned", "offline")
# Small requests low and larger ones high, each in the outermost hole or in best-fit's.
TWO_ENDED_PARTS = tuple(2**power for power in range(1, 9))  # of the arena
TWO_ENDED = [
    RuleNumbers(long=1, parts=parts, fits=(small, large, small, large))
    for parts in TWO_ENDED_PARTS
    for small in (CLASS_FITS.index("first, low end"), CLASS_FITS.index("best, low end"))
    for large in (CLASS_FITS.index("last, high end"), CLASS_FITS.index("best, high end"))
]
SEED = 2026  # of the bootstrap
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    splits: list[str] = field(default_factory=lambda: ["many", "few", "some"])
    families: list[str] = field(default_factory=lambda: [*TORCH, *MALLOC])
    out: str = "experiments/results/runs"


class Place(NamedTuple):
    """A family in a split."""

    split: str
    family: str

    @property
    def runs(self) -> Split:
        """The numbers of its runs."""
        return splits()[self.split]


Kinds = dict[str, dict[Place, dict[int, Row]]]  # figures by kind, family and run


def main() -> None:
    """Learns and plays what is missing, and writes what there is after each family."""
    options = _options(sys.argv[1:])
    out = Path(options.out)
    places = [Place(split, name) for split in options.splits for name in options.families]
    for place in places:
        for number in place.runs.test:
            find = partial(by_rules, place.family, number)
            kept(out, f"rules/{place.family}-{number}", find)
        learned_row(out, place)
        write(out, [each for each in places if is_finished(out, each)], options)
    for place in places:
        kept(out, f"wrong/{place.split}-{place.family}", partial(by_another, out, place))
    for place in places:
        kept(out, f"features/{place.split}-{place.family}", partial(features_row, place))
    write(out, places, options)


def kept(out: Path, name: str, find: Callable[[], Row]) -> Row:
    """Returns figures that are kept under this name; finds and keeps them if they are not."""
    file = file_of(out, name)
    if not file.exists():
        began = time.time()
        row = find()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(row, indent=1) + "\n")
        console.print(f"{name}: {time.time() - began:.0f} s", row)
    return read(out, name)


def read(out: Path, name: str) -> Row:
    """Returns figures that are kept."""
    return cast(Row, json.loads(file_of(out, name).read_text(encoding="utf-8")))


def file_of(out: Path, name: str) -> Path:
    """Tells where figures are kept."""
    return out / "rows" / f"{name}.json"


def policy_file(out: Path, place: Place) -> Path:
    """Tells where the policy is kept that a family has chosen."""
    return file_of(out, f"{place.split}/{place.family}").with_suffix(".safetensors")


def is_finished(out: Path, place: Place) -> bool:
    """Tells whether what was learned from a family has been played, and the rules."""
    return file_of(out, f"{place.split}/{place.family}").exists() and all(
        file_of(out, f"rules/{place.family}-{number}").exists() for number in place.runs.test
    )


@cache
def runs_of(name: str, numbers: tuple[int, ...]) -> tuple[Recording, ...]:
    """Loads some runs of a family, which are counted from 1."""
    return tuple(family(name)[number - 1] for number in numbers)


def test_events(place: Place) -> dict[int, ReplayEvents]:
    """Makes the events of the runs that test, by their numbers."""
    runs = runs_of(place.family, place.runs.test)
    return {
        number: events_of(run, alignment_of(run))
        for number, run in zip(place.runs.test, runs, strict=True)
    }


def by_rules(name: str, number: int) -> Row:
    """Finds what rules that know nothing of the program need on a run, and a packing offline."""
    (run,) = runs_of(name, (number,))
    events = events_of(run, alignment_of(run))
    threshold = small_units(events)
    row = {
        rule: units_needed(events, order_of(rule, threshold)) / events.peak_live for rule in RULES
    }
    packing = offline_packing(run, events.units)
    return {**row, "offline": packing.height / events.peak_live}


def learned_row(out: Path, place: Place) -> Row:
    """Learns, and plays the runs that test: NAME-NUMBER for each policy and run.

    What is chosen is the policy that the runs that choose take; a plan or exceptions that were not
    found are the class rule, and a class rule that was not found is best-fit.
    """
    return kept(out, f"{place.split}/{place.family}", partial(_learned, out, place))


def _learned(out: Path, place: Place) -> Row:
    learn = runs_of(place.family, place.runs.learn)
    choose = runs_of(place.family, place.runs.choose)
    alignment = max(map(alignment_of, learn))
    began, worked = time.time(), time.process_time()
    with StagesDisplay(console) as display:

        def report(doing: str) -> None:
            display.report(f"{place.split}, {place.family}: {doing}")

        config = RuleSearchConfig()
        learned = learn_from_runs([*learn, *choose], len(choose), alignment, config, report)
        seconds, of_cores = time.time() - began, time.process_time() - worked
        sized = [_by_size(events_of(run, alignment)) for run in learn]
        two_ended = find_rule(sized, config, report, TWO_ENDED)
    found = learned.tried.get(CLASS_RULE, learned.tried[BEST_FIT])
    row: Row = {"seconds": seconds, "cpu_seconds": of_cores}
    for number, events in test_events(place).items():
        tuned = units_needed(_by_size(events), class_rule(two_ended.rule))
        row[f"two_ended_tuned-{number}"] = tuned / events.peak_live
        for name, policy in (
            ("class_rule", found),
            ("exceptions", learned.tried.get(EXCEPTIONS, found)),
            ("plan", learned.tried.get(PLAN, found)),
            ("learned", learned.policy),
        ):
            needed = units_needed(policy.foretold(events), policy.player)
            row[f"{name}-{number}"] = needed / events.peak_live
    file = policy_file(out, place)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_profiled(file, learned.policy)
    return row


def features_row(place: Place) -> Row:
    """Learns rules that are told less, and plays the runs that test: NAME-NUMBER."""
    learn = runs_of(place.family, place.runs.learn)
    return told_less(learn, test_events(place), max(map(alignment_of, learn)))


def _by_size(events: ReplayEvents) -> ReplayEvents:
    return replace(events, foretold=by_nothing([], events.recording))


def by_another(out: Path, place: Place) -> Row:
    """Finds what the policy that another family has chosen needs, by the number of the run."""
    names = (*TORCH, *MALLOC)
    other = place._replace(family=names[(names.index(place.family) + 1) % len(names)])
    if not policy_file(out, other).exists():  # it is not among the stored figures
        _learned(out, other)
    policy = load_byte_policy(str(policy_file(out, other)))
    assert isinstance(policy, ProfiledPolicy)
    return {
        f"wrong-{number}": units_needed(policy.foretold(events), policy.player) / events.peak_live
        for number, events in test_events(place).items()
    }


def figures(out: Path, place: Place) -> dict[int, Row]:
    """Returns the figures of a finished family, by the number of the run that tests.

    What another program's policy needs may not be among them yet, nor what is told less.
    """
    found: dict[int, Row] = {}
    together = read(out, f"{place.split}/{place.family}")
    for what in ("wrong", "features"):
        name = f"{what}/{place.split}-{place.family}"
        if file_of(out, name).exists():
            together |= read(out, name)
    for number in place.runs.test:
        rules = read(out, f"rules/{place.family}-{number}")
        row = {**rules, **{name: together[f"{name}-{number}"] for name in {**TITLES, **FEATURES}
                           if f"{name}-{number}" in together}}  # fmt: skip
        # What is placed online can be placed offline.
        online = (name for name in TITLES if name in row and name not in ("offline", "wrong"))
        found[number] = {**row, "offline": min(row["offline"], *(row[name] for name in online))}
    return found


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
        beside = logs[:, :, at] - logs[:, :, best]
        figures = (
            *(means[at], low, high, removed, removed_low, removed_high),
            *(np.exp(beside.mean()), np.exp(beside.max())),
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


def write(out: Path, places: Sequence[Place], options: Options) -> None:
    """Writes results.json, table.md and programs.png of the families that are finished."""
    found = {place: figures(out, place) for place in places}
    finished = [split for split in options.splits if any(split == of.split for of in places)]
    by_split = {
        split: {
            kind: {place: rows for place, rows in found.items()
                   if place.split == split and place.family in names}
            for kind, names in KINDS.items()
        }
        for split in finished
    }  # fmt: skip
    overall = {
        split: {kind: _figures_of(_of(rows.values())) for kind, rows in kinds.items() if rows}
        for split, kinds in by_split.items()
    }
    results = {
        "command": " ".join(["python experiments/runs_study.py", *sys.argv[1:]]),
        "splits": {split: splits()[split]._asdict() for split in finished},
        "overall": overall,
        "features": {
            split: _figures_of(summaries(_rows(kinds), FEATURES, "best"))
            for split, kinds in by_split.items()
        },
        "beside_the_rule": {
            split: {
                title: _figures_of(summaries(rows, ON_THE_RULE, "class_rule"))
                for title, rows in _each_and_all(kinds).items()
            }
            for split, kinds in by_split.items()
        },
        "families": {
            split: {place.family: rows for kind in kinds.values() for place, rows in kind.items()}
            for split, kinds in by_split.items()
        },
        **{
            what: {
                split: {
                    place.family: read(out, f"{split}/{place.family}")[what]
                    for kind in kinds.values()
                    for place in kind
                }
                for split, kinds in by_split.items()
            }
            for what in ("seconds", "cpu_seconds")
        },
        **provenance(),
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    lines = [line for split, kinds in by_split.items() for line in _section(split, kinds)]
    head = ["# Arena needed / peak live, on runs that nothing was learned from", ""]
    write_whole(out / "table.md", "\n".join([*head, *lines, f"`{results['command']}`"]) + "\n")
    programs = [
        ProgramRow(place.family, kind, {name: _geometric(rows.values())[name] for name in DRAWN})
        for kind, of in by_split[finished[0]].items()
        for place, rows in of.items()
    ]
    draw_programs(out / "programs.png", programs)


def _rows(kinds: Kinds) -> list[list[Row]]:
    """Lists the rows of all families of PyTorch, or of what else there is."""
    first = next(of for of in kinds.values() if of)
    return [list(rows.values()) for rows in first.values()]


def _each_and_all(kinds: Kinds) -> dict[str, list[list[Row]]]:
    """Lists the rows of each family, and of all of the first kind."""
    each = {place.family: [list(rows.values())] for of in kinds.values()
            for place, rows in of.items()}  # fmt: skip
    return {**each, "together": _rows(kinds)}


def _figures_of(found: dict[str, Summary]) -> dict[str, dict[str, float]]:
    return {name: summary._asdict() for name, summary in found.items()}


def _of(families: Iterable[dict[int, Row]]) -> dict[str, Summary]:
    return summaries([list(rows.values()) for rows in families])


def _geometric(rows: Iterable[Row]) -> Row:
    """Averages the figures of runs."""
    listed = list(rows)
    return {
        name: float(np.exp(np.mean([np.log(row[name]) for row in listed])))
        for name in known(listed)
    }


def _section(split: str, kinds: Kinds) -> list[str]:
    """Writes the part of table.md on one split."""
    of = splits()[split]
    rows = [row for families in kinds.values() for of_one in families.values()
            for row in of_one.values()]  # fmt: skip
    names = known(rows)
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
        for place, rows in families.items():
            mean = _geometric(rows.values())
            lines.append(markdown_row([place.family, *(f"{mean[name]:.4f}" for name in names)]))
        found = _of(families.values())
        summary = {name: found[name] for name in names}
        for title, cells in (
            (f"**{kind}**", [f"**{of.mean:.4f}**" for of in summary.values()]),
            ("95 %", [f"{of.low:.3f} to {of.high:.3f}" for of in summary.values()]),
            ("of best-fit's excess gone", [f"{of.removed:.0%}" for of in summary.values()]),
            (
                "95 %",
                [f"{of.removed_low:.0%} to {of.removed_high:.0%}" for of in summary.values()],
            ),
            ("over best-fit", [f"{of.beside_best:.4f}" for of in summary.values()]),
            ("the worst run", [f"{of.worst_beside_best:.4f}" for of in summary.values()]),
        ):
            lines.append(markdown_row([title, *cells]))
    return [*lines, "", *_beside_the_rule(kinds), *_features(kinds)]


def _beside_the_rule(kinds: Kinds) -> list[str]:
    """Writes how much is gone of the excess that the class rule leaves, by family."""
    lines = [
        "Of the excess over peak live that the class rule leaves, gone (95 % over runs):",
        "",
        markdown_row(["family", "class rule", *(TITLES[name] for name in ON_THE_RULE)]),
        "|:--" + "|--:" * (1 + len(ON_THE_RULE)) + "|",
    ]
    for title, rows in _each_and_all(kinds).items():
        found = summaries(rows, ON_THE_RULE, "class_rule")
        several = sum(map(len, rows)) > 1
        cells = [
            f"{of.removed:.0%}" + several * f" ({of.removed_low:.0%} to {of.removed_high:.0%})"
            for of in (found[name] for name in ON_THE_RULE)
        ]
        lines.append(markdown_row([title, f"{found['class_rule'].mean:.4f}", *cells]))
    return [*lines, ""]


def _features(kinds: Kinds) -> list[str]:
    """Writes what a class rule needs that is told less."""
    found = summaries(_rows(kinds), FEATURES)
    lines = [
        markdown_row(["a class rule is told", "needed", "of best-fit's excess gone", "95 %"]),
        "|:--|--:|--:|--:|",
    ]
    for name, title in FEATURES.items():
        if name not in found:
            continue
        of = found[name]
        interval = f"{of.removed_low:.0%} to {of.removed_high:.0%}"
        lines.append(markdown_row([title, f"{of.mean:.4f}", f"{of.removed:.0%}", interval]))
    return [*lines, ""]


def _options(words: list[str]) -> Options:
    options = read_options(Options, words)
    for what, asked, known in (
        ("splits", options.splits, tuple(splits())),
        ("families", options.families, family_names()),
    ):
        unknown = sorted({*asked} - {*known})
        if unknown or not asked:
            wrong = ", ".join(unknown) or "none"
            raise SystemExit(f"{what}: {wrong}; some of {', '.join(known)}")
    return options


if __name__ == "__main__":
    main()
