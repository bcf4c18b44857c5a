"""Training steps of PyTorch on a CPU, whose large tensors live in a learned arena.

`python experiments/live_networks.py torch=PYTHON` runs networks of the families by an interpreter
that has PyTorch, each tensor of at least 32 KiB in our arena. Some runs are learned from and others
choose, as the split `some` says; then runs at batch sizes, or lengths of texts, that neither has
seen go under best-fit, and what they ask for is played again to find the smallest arena in which
each policy places everything. In just that arena the run is made again under the policy that was
chosen, and under best-fit: the first may fail no request, and all must be as the simulator has it.
Its options are the fields of `Options`. What is in `out` already is not done again.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np
from allocator_study import TRACES, live_run, printed
from rich.console import Console
from study_options import read_options

from jaxmem.commands.run import events_under, live_player_of
from jaxmem.evaluation.provenance import provenance
from jaxmem.export.exported import Exported, read_exported
from jaxmem.native.allocator import LiveArena
from jaxmem.recordings.families import splits
from jaxmem.recordings.headroom import units_needed
from jaxmem.recordings.learning import BEST_FIT, CLASS_RULE, LearnedFromRuns, learn_from_runs
from jaxmem.recordings.live_check import differences, replayed
from jaxmem.recordings.live_log import LiveRun
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.replay import events_of
from jaxmem.render.byte_units import short_bytes
from jaxmem.render.tables import markdown_row
from jaxmem.settings.recordings import RuleSearchConfig
from jaxmem.whole_files import write_whole

SPLIT = splits()["some"]
UNIT = 64  # bytes, and the alignment that torch asks for
LEAST = 32 * 1024  # bytes
DEPTH = 16  # return addresses: the innermost are torch's allocator, whoever asks
CODE = (
    "import torch; from networks.{network} import run; torch.set_num_threads(1); "
    "torch.manual_seed({seed}); run({given}); print(torch.rand(3).tolist())"
)
REACH, WORSE = 0.97, 1.01  # times best-fit's arena: to be reached, and never to be exceeded
HEADER = (
    *("network", "run", "tensors", "peak live", "first-fit", "best-fit", "class rule", "chosen"),
    *("over best-fit's", "best-fit fails there", "live as the simulator"),
)
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    torch: str = "python"  # an interpreter that has PyTorch
    networks: list[str] = field(
        default_factory=lambda: ["convnet", "lstm", "graph", "autoencoder", "adversaries"]
    )
    out: str = "experiments/results/live_networks"


@dataclass
class Row:
    """A network's run that nothing was learned from or chosen by."""

    network: str
    settings: dict[str, int]
    requests: int
    peak_live: int  # bytes
    needed: dict[str, float]  # arena / peak live, by policy
    chosen: str  # how the policy is made that the runs held out have chosen
    failed: int  # requests of the live run under it, in the arena that it needs
    best_failed: int  # and under best-fit, in the same arena
    same_output: bool  # of all live runs, as of the plain one
    differences: list[str]  # between live runs and their replays

    @property
    def over_best(self) -> float:
        """Arena needed over best-fit's."""
        return self.needed["chosen"] / self.needed["best"]

    @property
    def holds(self) -> bool:
        """Nothing failed in the arena that is said to be enough, and all was as simulated."""
        return not self.failed and self.same_output and not self.differences


class Network:
    """A network, run by the settings of its family."""

    def __init__(self, name: str, interpreter: str, folder: Path) -> None:
        families = import_module("families").FAMILIES
        self.name, self.interpreter, self.folder = name, interpreter, folder
        self.settings: Sequence[dict[str, int]] = families[name]

    def words(self, number: int) -> list[str]:
        """Returns the command line of a run; runs are counted from 1."""
        given = dict(self.settings[number - 1])
        seed = given.pop("seed")
        words = ", ".join(f"{name}={value}" for name, value in given.items())
        return [self.interpreter, "-c", CODE.format(network=self.name, seed=seed, given=words)]

    def live(self, number: int, policy: Exported, cells: int) -> tuple[bytes, LiveRun]:
        """Makes a run under a policy; returns what it prints, and the run."""
        arena, name = LiveArena(cells, UNIT, LEAST, UNIT), f"{self.name} {number}"
        return live_run(self.words(number), policy, arena, DEPTH, self.folder, name)

    def learned(self) -> LearnedFromRuns:
        """Learns from some runs, as best-fit has placed them, and chooses by others."""
        best = read_exported("best")
        runs = [
            replace(self.live(number, best, 0)[1].recording, name=str(number))
            for number in (*SPLIT.learn, *SPLIT.choose)
        ]
        return learn_from_runs(runs, len(SPLIT.choose), UNIT, RuleSearchConfig())

    def tested(self, number: int, learned: LearnedFromRuns) -> Row:
        """Makes a run that is new, and finds what each policy needs for it."""
        plain = printed(self.words(number))
        best = read_exported("best")
        outputs, different = [], []

        def play(policy: Exported, cells: int) -> LiveRun:
            output, run = self.live(number, policy, cells)
            again = replayed(
                events_under(policy, run), cells, live_player_of(policy), lambda share: None
            )
            outputs.append(output)
            different.extend(differences(run, again))
            return run

        run = play(best, 0)
        events = events_of(run.recording, UNIT)
        needed = {name: units_needed(events, order_of(name)) for name in ("first", "best")}
        rule = learned.tried.get(CLASS_RULE, learned.tried[BEST_FIT])
        for name, policy in (("class rule", rule), ("chosen", learned.policy)):
            needed[name] = units_needed(policy.foretold(events), policy.player)
        arena = needed["chosen"]
        chosen = play(Exported("chosen", learned.policy), arena)
        if not np.array_equal(chosen.recording.size, run.recording.size):
            different.append("the run asks for other blocks under another policy")
        return Row(
            network=self.name,
            settings=self.settings[number - 1],
            requests=run.recording.requests,
            peak_live=events.peak_live * UNIT,
            needed={name: units / events.peak_live for name, units in needed.items()},
            chosen=learned.chosen,
            failed=chosen.figures.failed,
            best_failed=play(best, arena).figures.failed,
            same_output=set(outputs) == {plain},
            differences=different,
        )


def main() -> None:
    """Runs what is not there yet, prints the table, writes results.json and table.md."""
    options = read_options(Options, sys.argv[1:])
    out = Path(options.out).absolute()
    (out / "rows").mkdir(parents=True, exist_ok=True)
    sys.path.append(str(TRACES))
    rows = []
    with tempfile.TemporaryDirectory() as temporary, chdir(TRACES):
        for name in options.networks:
            file = out / "rows" / f"{name}.json"
            if not file.exists():
                network = Network(name, options.torch, Path(temporary))
                learned = network.learned()
                tested = [asdict(network.tested(number, learned)) for number in SPLIT.test]
                write_whole(file, json.dumps(tested, indent=1) + "\n")
            rows += [Row(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    results = {
        "command": "python experiments/live_networks.py torch=PYTHON",
        "networks": options.networks,
        "split": SPLIT._asdict(),
        **provenance(),
        "rows": [asdict(row) for row in rows],
    }
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    text = table(rows)
    write_whole(out / "table.md", text)
    console.print(text, markup=False, highlight=False)
    if not all(row.holds for row in rows):
        raise SystemExit(3)


def table(rows: Sequence[Row]) -> str:
    """Writes table.md."""
    over = {
        name: float(np.exp(np.mean([np.log(row.over_best) for row in rows if row.network == name])))
        for name in dict.fromkeys(row.network for row in rows)
    }
    less = sum(ratio <= REACH for ratio in over.values())
    lines = [
        "# Large tensors of training steps, live in a learned arena",
        "",
        f"Arena needed over peak live, of runs at batch sizes or lengths that nothing was learned "
        f"from. On {less} of {len(over)} networks the policy that is chosen needs at least "
        f"{1 - REACH:.0%} less than best-fit; at worst, on one run, it needs "
        f"{max(row.over_best for row in rows):.4f} of best-fit's.",
        "",
        markdown_row(HEADER),
        "|:--" * 2 + "|--:" * (len(HEADER) - 3) + "|:--|",
    ]
    for row in rows:
        given = ", ".join(f"{key} {value}" for key, value in row.settings.items() if key != "seed")
        cells = [row.network, given, f"{row.requests:,}", short_bytes(row.peak_live)]
        cells += [f"{row.needed[name]:.4f}" for name in ("first", "best", "class rule")]
        cells += [f"{row.needed['chosen']:.4f}, {row.chosen}", f"{row.over_best:.4f}"]
        cells += [f"{row.best_failed:,}", "yes" if row.holds else "no"]
        lines.append(markdown_row(cells))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
