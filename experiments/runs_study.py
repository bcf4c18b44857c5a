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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, cast

from programs_picture import ProgramRow, draw_programs
from rich.console import Console
from runs_features import FEATURES, by_nothing, told_less
from runs_tables import (
    ON_THE_RULE,
    RULES,
    TITLES,
    Row,
    each_and_all,
    figures_of,
    geometric,
    of_families,
    section,
    summaries,
    told_less_rows,
)
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
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
from jaxmem.render.progress import StagesDisplay
from jaxmem.settings.recordings import RuleSearchConfig
from jaxmem.whole_files import write_whole

MALLOC = ("cc1", "perl", "pipeline", "sqlite")
TORCH = tuple(name for name in family_names() if name not in MALLOC)
KINDS = {"tensors of PyTorch on a CPU": TORCH, "malloc of programs": MALLOC}
DRAWN = (*RULES, "two_ended_tuned", "learned", "offline")
# Small requests low and larger ones high, each in the outermost hole or in best-fit's.
TWO_ENDED_PARTS = tuple(2**power for power in range(1, 9))  # of the arena
TWO_ENDED = [
    RuleNumbers(long=1, parts=parts, fits=(small, large, small, large))
    for parts in TWO_ENDED_PARTS
    for small in (CLASS_FITS.index("first, low end"), CLASS_FITS.index("best, low end"))
    for large in (CLASS_FITS.index("last, high end"), CLASS_FITS.index("best, high end"))
]
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


def main() -> None:
    """Learns and plays what is missing, and writes what there is after each family.

    What features are worth is asked of the networks, with the first split.
    """
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
        if place.split == options.splits[0] and place.family in TORCH:
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


def write(out: Path, places: Sequence[Place], options: Options) -> None:
    """Writes results.json, table.md and programs.png of the families that are finished."""
    found = {place: figures(out, place) for place in places}
    finished = [split for split in options.splits if any(split == of.split for of in places)]
    by_split = {
        split: {
            kind: {place.family: rows for place, rows in found.items()
                   if place.split == split and place.family in names}
            for kind, names in KINDS.items()
        }
        for split in finished
    }  # fmt: skip
    overall = {
        split: {
            kind: figures_of(of_families(rows.values())) for kind, rows in kinds.items() if rows
        }
        for split, kinds in by_split.items()
    }
    results = {
        "command": " ".join(["python experiments/runs_study.py", *sys.argv[1:]]),
        "splits": {split: splits()[split]._asdict() for split in finished},
        "overall": overall,
        "features": {
            split: figures_of(summaries(told_less_rows(kinds), FEATURES))
            for split, kinds in by_split.items()
        },
        "beside_the_rule": {
            split: {
                title: figures_of(summaries(rows, ON_THE_RULE, "class_rule"))
                for title, rows in each_and_all(kinds).items()
            }
            for split, kinds in by_split.items()
        },
        "families": {
            split: {name: rows for kind in kinds.values() for name, rows in kind.items()}
            for split, kinds in by_split.items()
        },
        **{
            what: {
                split: {
                    name: read(out, f"{split}/{name}")[what]
                    for kind in kinds.values()
                    for name in kind
                }
                for split, kinds in by_split.items()
            }
            for what in ("seconds", "cpu_seconds")
        },
        **provenance(),
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    lines = [
        line for split, kinds in by_split.items() for line in section(split, splits()[split], kinds)
    ]
    head = ["# Arena needed / peak live, on runs that nothing was learned from", ""]
    write_whole(out / "table.md", "\n".join([*head, *lines, f"`{results['command']}`"]) + "\n")
    programs = [
        ProgramRow(name, kind, {policy: geometric(rows.values())[policy] for policy in DRAWN})
        for kind, of in by_split[finished[0]].items()
        for name, rows in of.items()
    ]
    draw_programs(out / "programs.png", programs)


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
