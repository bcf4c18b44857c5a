"""How training scales: with devices that share the arenas, and with members in one program.

`python experiments/scaling_study.py` times PQN's updates on 1, 2, 4, ... devices (on a CPU they are
virtual: it shows what sharing costs, not what more silicon gives), and with 1, 2, 4, ... members
side by side and one by one; then, with `runs=true`, 32 runs as one command and as 32. Its options
are the fields of `Options`, as `devices=[1,8] rounds=1 out=DIR`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from scaling_picture import draw_scaling
from study_options import read_options

from jaxmem.evaluation.provenance import provenance
from jaxmem.learning.config import train_config
from jaxmem.learning.members import Members
from jaxmem.learning.program import Program
from jaxmem.whole_files import write_whole

WORKLOAD = "large-short-lived"
ONE = "--one"  # a measurement in a process of its own: devices are fixed when JAX starts
RATES = (1e-3, 5e-4, 2.5e-4, 1.25e-4)
SEEDS = 8
console = Console()


@dataclass
class Options:
    """What can be asked for."""

    devices: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    members: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32])
    arenas: int = 1024  # of a member that devices share
    rounds: int = 3  # timings of each, of which the median counts
    updates: int = 2  # in a timing
    runs: bool = False  # time 32 runs as one command and as 32, too: a quarter of an hour
    steps: int = 200_000  # of each of these runs
    out: str = "experiments/results/scaling"


def main() -> None:
    """Times everything, prints the tables, writes results.json, table.md and scaling.png."""
    if sys.argv[1:2] == [ONE]:
        print(json.dumps(_measured(**json.loads(sys.argv[2]))))
        return
    options = _options(sys.argv[1:])
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    asked = [{"devices": n, "arenas": options.arenas} for n in options.devices]
    asked += [
        {"members": n, "vectorised": vectorised}
        for n in options.members
        for vectorised in (True, False)
    ]
    timing = {"rounds": options.rounds, "updates": options.updates}
    found = [_in_its_own_process({**one, **timing}) for one in track(asked, "timing")]
    results: dict[str, Any] = {
        "command": " ".join(["python experiments/scaling_study.py", *sys.argv[1:]]),
        "options": asdict(options),
        "workload": WORKLOAD,
        **provenance(),
        "devices": found[: len(options.devices)],
        "members": found[len(options.devices) :],
        "runs": _runs(options) if options.runs else None,
    }
    text = _table(results)
    write_whole(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(out / "table.md", text)
    draw_scaling(out / "scaling.png", results["devices"], results["members"])
    console.print(text, markup=False, highlight=False)
    console.print(f"{out}: results.json, table.md, scaling.png")


def _options(words: list[str]) -> Options:
    options = read_options(Options, words)
    numbers = [*options.devices, *options.members, options.arenas, options.rounds, options.updates]
    if min(numbers) < 1 or not options.devices or not options.members:
        raise SystemExit("devices, members, arenas, rounds and updates must be at least 1")
    return options


def _in_its_own_process(one: dict[str, Any]) -> dict[str, Any]:
    env = dict(os.environ)
    if jax.default_backend() == "cpu":
        flags = env.get("XLA_FLAGS", "")
        count = one.get("devices", 1)
        env["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={count}".strip()
    done = subprocess.run(
        [sys.executable, __file__, ONE, json.dumps(one)],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{one}: exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _measured(
    rounds: int,
    updates: int,
    devices: int = 1,
    members: int = 1,
    arenas: int = 128,
    vectorised: bool = False,
) -> dict[str, Any]:
    """Steps a second of all members together, with the seconds that compilation took."""
    config = train_config(WORKLOAD, "pqn", arenas=arenas)
    group = Members(config, tuple(range(members)), (config.settings,), (None,) * members)
    params = group.params()
    begin = time.perf_counter()
    program = Program(group.programs(vectorised), group.begin(), params, devices)
    params = program.placed(params)
    go_on, learner = program.compiled(params), program.start(params)
    jax.block_until_ready(learner)
    compiled = time.perf_counter() - begin
    seconds = []
    for count in [1, *[updates] * rounds]:  # the first is not timed
        begin = time.perf_counter()
        learner, _ = jax.block_until_ready(go_on(learner, params, np.int32(count)))
        seconds.append(time.perf_counter() - begin)
    steps = members * updates * config.settings.steps_per_update
    return {
        "devices": devices,
        "members": members,
        "arenas": arenas,
        "vectorised": vectorised,
        "compile_seconds": compiled,
        "steps_per_second": [steps / took for took in seconds[1:]],
    }


def _runs(options: Options) -> dict[str, Any]:
    """Wall time of 8 seeds x 4 learning rates as one command, and as 32 one after another."""
    base = ["train", "learner=pqn", f"learner.steps={options.steps}"]
    rates = ",".join(map(str, RATES))
    one = [*base, f"seeds={SEEDS}", f"grid.learning_rate=[{rates}]"]
    each = [
        [*base, f"seed={seed}", f"learner.learning_rate={rate}"]
        for rate in RATES
        for seed in range(SEEDS)
    ]
    together = _seconds([one], f"{len(each)} members, one command")
    apart = _seconds(each, f"{len(each)} commands, one after another")
    return {"members": len(each), "steps": options.steps, "one": together, "apart": apart}


def _seconds(commands: list[list[str]], said: str) -> float:
    """Wall time of some commands; what one compiles is there for the next, as for any user."""
    program = [sys.executable, "-c", "from jaxmem.cli import main; raise SystemExit(main())"]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        for number, words in enumerate(track(commands, said)):
            out = f"out={folder}/{number}"
            subprocess.run([*program, *words, out], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin


def _table(results: dict[str, Any]) -> str:
    lines = [
        "# How training scales",
        "",
        f"PQN on {results['workload']}, steps a second of all members together, median of "
        f"{results['options']['rounds']} timings; {results['device']}.",
        "",
        "| devices that share the arenas | steps / s | times one device | compiled in |",
        "|--:|--:|--:|--:|",
    ]
    alone = median(results["devices"][0]["steps_per_second"])
    for row in results["devices"]:
        rate, took = median(row["steps_per_second"]), row["compile_seconds"]
        lines.append(f"| {row['devices']} | {rate:,.0f} | {rate / alone:.2f} | {took:.0f} s |")
    lines += [
        "",
        "| members in one program | side by side (vmap), steps / s | one by one (map), steps / s |",
        "|--:|--:|--:|",
    ]
    rates = {
        (row["members"], row["vectorised"]): median(row["steps_per_second"])
        for row in results["members"]
    }
    for members in dict.fromkeys(row["members"] for row in results["members"]):
        pair = " | ".join(f"{rates[members, vectorised]:,.0f}" for vectorised in (True, False))
        lines.append(f"| {members} | {pair} |")
    if runs := results["runs"]:
        lines += [
            "",
            f"{runs['members']} runs of {runs['steps']:,} steps, with their tests: one command "
            f"{runs['one']:.0f} s, one after another {runs['apart']:.0f} s "
            f"({runs['apart'] / runs['one']:.1f} times as long).",
        ]
    return "\n".join([*lines, "", f"`{results['command']}`"]) + "\n"


if __name__ == "__main__":
    main()
