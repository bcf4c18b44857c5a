"""The placement study: learned policies on every workload, over several training seeds.

`python experiments/placement_study.py` trains what is missing, one member (a workload and a seed)
after the other, and writes the report of all members that there are. It may be stopped at any time
and goes on where it was: finished members are kept, also those from other machines. Options are
those of `placement_study.yaml`, as `only=[comb]` or `out=DIR`.
"""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import hydra
import jax
import numpy as np
from omegaconf import DictConfig, OmegaConf
from placement_report import write_report
from rich.console import Console

from jaxmem.evaluation.hindsight import bounds
from jaxmem.evaluation.provenance import provenance
from jaxmem.evaluation.run import Trajectory, measure, run
from jaxmem.evaluation.tuning import tuned
from jaxmem.learning.train import train
from jaxmem.policies import Policy, policy
from jaxmem.policies.policy_file import save_policy
from jaxmem.render.progress import TrainingDisplay
from jaxmem.rules import default_rules
from jaxmem.whole_files import write_whole
from jaxmem.workloads.peaks import served_by_compaction
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import Requests

MEASURES = ("failed_requests", "failed_cells", "external_fragmentation")
RETURNS = ("return",)  # of a row whose episodes end at a failure, which says how late it comes
PLACED = 0.1  # reward of a placement in a return, as Lim & Maddukuri have it
console = Console()


@hydra.main(version_base="1.3", config_path=".", config_name="placement_study")
def main(config: DictConfig) -> None:
    """Trains the members that are missing, then writes the report."""
    study: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore
    out = Path(study["out"])
    out.mkdir(parents=True, exist_ok=True)
    chosen = study["only"] if study["only"] is not None else list(study["rows"])
    unknown = sorted(set(chosen) - set(study["rows"]))
    if unknown:
        raise SystemExit(f"only={unknown}: no such rows; known: {', '.join(study['rows'])}")
    rows = {name: study["rows"][name] for name in chosen}
    # Seed by seed, so that a study that is stopped has something to say about every row.
    for seed in range(max(row["seeds"] for row in rows.values())):
        for name, row in rows.items():
            if seed < row["seeds"] and not _member_file(out, name, seed).exists():
                _train_member(study, out, name, row, seed)
    for name, row in rows.items():
        _search(study, out, name, row)
    write_report(out, study, console)


def _train_member(study: dict, out: Path, name: str, row: dict, seed: int) -> None:
    """Trains and tests one member, and keeps it when it is whole."""
    task = _task(name, row)
    requests = task.requests("test", study["test_seed"], study["sequences"])
    best = _baselines(out, name, task, requests)
    console.rule(f"{name}, seed {seed}")
    with TrainingDisplay(console) as display:
        result = train(
            task,
            study["learner"],
            seed=seed,
            listeners=[display],
            **row.get("settings", {}),
        )
    if result.note:
        raise SystemExit(f"{name}, seed {seed}: {result.note}; finished members are kept")
    trajectory = run(result.policy, requests, task)
    found = _measured(trajectory, requests, task)
    file = _member_file(out, name, seed)
    save_policy(file.with_suffix(".safetensors"), result.policy.parameters.network, result.card)
    _write_arrays(file, found)
    judged = next(iter(found))
    console.print(f"test: {judged} {found[judged].mean():.3f}; {result.base_policy}")
    start = np.asarray(trajectory.start)
    member = {
        "row": name,
        "workload": task.name,
        "cells": task.cells,
        "learner": study["learner"],
        "settings": result.card.training["settings"],
        "seed": seed,
        "test_seed": study["test_seed"],
        "sequences": requests.sequences,
        "base_policy": result.base_policy,
        "margin": result.card.margin,
        judged: float(found[judged].mean()),
        "seconds": result.seconds,
        "episodes": result.episodes,
        "steps": result.steps,
        "curve": [dataclasses.asdict(point) for point in result.curve],
        "validation_references": result.references,
        "failures": None if task.stop_at_failure else _failures(start, best, requests, task),
        "addresses": _addresses(start, requests, task),
        **provenance(),
    }
    write_whole(file, json.dumps(member, indent=1) + "\n")  # last: what has it is whole


def _task(name: str, row: dict) -> Workload:
    return workload(row.get("workload", name), None, **row.get("options", {}))


def _search(study: dict, out: Path, name: str, row: dict) -> None:
    """Finds, once, what hindsight reaches on the first of the test sequences, and keeps it.

    Where a failure ends an episode, the rules' file has a ceiling that is nearer.
    """
    task, file = _task(name, row), out / "members" / f"{name}-bounds.npz"
    if task.stop_at_failure or file.exists():
        return
    console.print(f"{name}: searching with every lifetime known")
    requests = task.requests("test", study["test_seed"], study["sequences"])
    found = bounds(jax.tree.map(lambda column: column[: study["searched"]], requests), task)
    _write_arrays(file, {"clairvoyant": found.clairvoyant, "hindsight": found.hindsight})


def _measured(trajectory: Trajectory, requests: Requests, task: Workload) -> dict[str, np.ndarray]:
    """What a row is judged by, float64[P] each, the first above all."""
    found = measure(trajectory, requests, task)
    if task.stop_at_failure:
        found["return"] = PLACED * found["placed_requests"]
    return {key: found[key] for key in (RETURNS if task.stop_at_failure else MEASURES)}


def _member_file(out: Path, name: str, seed: int) -> Path:
    return out / "members" / f"{name}-{seed}.json"


def _baselines(out: Path, name: str, task: Workload, requests: Requests) -> np.ndarray:
    """Plays the rules on the test sequences, once, and keeps what they did; best-fit's starts.

    Returns:
        int32[P, T]
    """
    (out / "members").mkdir(exist_ok=True)
    best = run(policy("best"), requests, task)
    file = out / "members" / f"{name}-rules.json"
    if file.exists():
        return np.asarray(best.start)
    rules: dict[str, Policy] = {}
    notes = []
    for rule in default_rules(task.has_hints):
        if not rule.tuning:
            rules[rule.name] = policy(rule.name)
            continue
        rules[rule.name], note = tuned(rule.name, task, 0)
        notes.append(note)
    played: dict[str, Trajectory] = {rule: run(p, requests, task) for rule, p in rules.items()}
    found = {rule: _measured(trajectory, requests, task) for rule, trajectory in played.items()}
    if task.stop_at_failure:
        most = served_by_compaction(requests, task.cells, task.layout)
        found["compacting"] = {"return": PLACED * most}
    columns = {f"{rule}/{key}": found[rule][key] for rule in found for key in found[rule]}
    _write_arrays(file, columns)
    addresses = {
        rule: _addresses(np.asarray(trajectory.start), requests, task)
        for rule, trajectory in played.items()
    }
    write_whole(file, json.dumps({"notes": notes, "addresses": addresses}, indent=1) + "\n")
    return np.asarray(best.start)


def _failures(start: np.ndarray, best: np.ndarray, requests: Requests, task: Workload) -> dict:
    """Counted requests by what the learned policy and best-fit did with them, and their sizes."""
    size = np.asarray(requests.size)[:, task.warmup :]
    ours, its = start[:, task.warmup :] < 0, best[:, task.warmup :] < 0
    groups = {"both": ours & its, "only_learned": ours & ~its, "only_best": ~ours & its}
    return {
        group: {
            "requests": int(which.sum()),
            "mean_size": float(size[which].mean()) if which.any() else None,
        }
        for group, which in groups.items()
    } | {"counted": int(size.size)}


def _addresses(start: np.ndarray, requests: Requests, task: Workload) -> dict:
    """Where blocks were placed, by size and lifetime: the middle of the block, 0 .. 1 of the arena.

    Small and short-lived are those up to the median.
    """
    size, lifetime = np.asarray(requests.size), np.asarray(requests.lifetime)
    placed = (start >= 0) & (np.arange(start.shape[1]) >= task.warmup)
    middle = (start + size / 2) / task.cells
    small, short = size <= np.median(size), lifetime <= np.median(lifetime)
    kinds = {
        "small, short-lived": small & short,
        "small, long-lived": small & ~short,
        "large, short-lived": ~small & short,
        "large, long-lived": ~small & ~short,
    }
    return {
        kind: {
            "blocks": int((placed & which).sum()),
            "mean": float(middle[placed & which].mean()),
            "low_third": float((middle[placed & which] < 1 / 3).mean()),
            "high_third": float((middle[placed & which] > 2 / 3).mean()),
        }
        for kind, which in kinds.items()
        if (placed & which).any()
    }


def _write_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Float32, in a file beside `file` that holds no pickles."""
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **single)
    write_whole(file.with_suffix(".npz"), packed.getvalue())


if __name__ == "__main__":
    main()
