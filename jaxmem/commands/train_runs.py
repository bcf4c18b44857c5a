"""`jaxmem train workload=runs`."""

import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxmem.carded_file import POLICY_FILE
from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.training_run import TERMINATED
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.learning.stopping import Stop
from jaxmem.recordings import Recording, alignment_of, read_trace
from jaxmem.recordings.families import family
from jaxmem.recordings.learning import BEST_FIT, LITTLE_KNOWN, LearnedFromRuns, learn_from_runs
from jaxmem.recordings.profiled_policy import save_profiled
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.runs_report import (
    RunRow,
    RunsResults,
    draw_runs,
    runs_markdown,
    runs_table,
    verdict_of,
)
from jaxmem.run_folder import RunFolder
from jaxmem.settings.recordings import RunsSettings, TrainRunsSettings

HELD_OUT_FROM = 3  # runs from which on one is held out where nobody says how many


def run(settings: TrainRunsSettings, command: str) -> int:
    """Learns the policy, prints what it needs on each run, writes the run folder."""
    console = terminal()
    runs = runs_of(settings.workload)
    held_out = settings.held_out
    if held_out is None:
        held_out = int(len(runs) >= HELD_OUT_FROM)
    if held_out >= len(runs):
        raise UsageError(f"held_out is {held_out} of {len(runs)} runs; one is needed to learn from")
    alignment = settings.alignment or max(map(alignment_of, runs))
    name = settings.workload.family or Path(settings.workload.paths[0]).stem
    with checked(RunFolder, "train", name, settings.out, settings.overwrite) as folder:
        with StagesDisplay(console) as display, Stop() as stop:

            def report(doing: str) -> None:
                if stop.heard is signal.SIGINT:
                    raise KeyboardInterrupt
                if stop.heard is not None:
                    raise SystemExit(TERMINATED)
                display.report(doing)

            learned = checked(learn_from_runs, runs, held_out, alignment, settings.learner, report)
        folder.write_config(settings.plain(), command)
        results = _runs_results(runs, learned, alignment, command)
        training = {key: results[key] for key in ("command", "alignment", "runs", "why")}
        save_profiled(folder.file(POLICY_FILE), replace(learned.policy, training=training))
        console.print(runs_table(results), "")
        draw_runs(folder.file("runs.png"), results)
        folder.write_table(runs_markdown(results))
        folder.write_results(results)
    for note in results["notes"]:
        console.print(note, soft_wrap=True)
    tell_where(console, folder.path, f"{POLICY_FILE}, results.json, table.md, runs.png")
    console.print("", results["verdict"], sep="\n")
    return 0


def runs_of(workload: RunsSettings) -> Sequence[Recording]:
    """Reads the runs that are asked for.

    Raises:
        UsageError: none are, or both of files and of a family; a file is no recording.
    """
    if bool(workload.paths) == (workload.family is not None):
        raise UsageError(
            "workload=runs needs the recordings of runs, as 'workload.paths=[a.npz,b.npz]', or a "
            "family of the library, as workload.family=convnet, and not both"
        )
    if workload.family is not None:
        return checked(family, workload.family)
    return [checked(read_trace, path) for path in workload.paths]


def _runs_results(
    runs: Sequence[Recording], learned: LearnedFromRuns, alignment: int, command: str
) -> RunsResults:
    """Makes the results.json."""
    studied = len(learned.studied[BEST_FIT])
    rows: list[RunRow] = [
        {
            "run": run.name,
            "requests": run.requests,
            "peak_live": run.peak_live,
            "held_out": number >= studied,
            "foretold": float(known),
            "needed": needed,
        }
        for number, (run, known, needed) in enumerate(
            zip(runs, learned.known, learned.needed, strict=True)
        )
    ]
    rule = learned.policy.rule
    results: RunsResults = {
        "command": command,
        "alignment": alignment,
        "runs": rows,
        "rule": {"long": rule.long, "parts": rule.parts, "places": rule.words},
        "contexts": len(learned.policy.profile.key),
        "chosen": learned.chosen,
        "why": learned.why,
        "notes": _notes(runs, learned),
        "verdict": "",
        **provenance(),
    }
    if (plan := learned.policy.plan) is not None:
        results["plan"] = {"slots": len(plan.size), "margin": plan.margin}
    results["verdict"] = verdict_of(results)
    return results


def _notes(runs: Sequence[Recording], learned: LearnedFromRuns) -> list[str]:
    """Says what is odd about the runs."""
    notes = []
    if len(runs) == 1:
        notes.append("The one run is foretold by itself, which later runs are not: record more.")
    if any(run.site_key is None for run in runs):
        notes.append(
            "A run has no call sites that compare: sizes stand for them, which foretell less; "
            "jaxmem trace record keeps call sites."
        )
    least = int(np.argmin(learned.known))
    if learned.known[least] < LITTLE_KNOWN:
        notes.append(
            f"Of the requests of {runs[least].name} only {learned.known[least]:.0%} are foretold "
            "by the others: are these runs of one program? What is new goes by best-fit."
        )
    equal = any(
        np.array_equal(one.size, other.size) and np.array_equal(one.lifetime, other.lifetime)
        for number, one in enumerate(runs)
        for other in runs[:number]
    )
    if equal:
        notes.append("Two runs are the same, and tell no more than one: vary the inputs.")
    return notes
