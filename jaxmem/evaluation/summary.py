"""Many runs side by side: a row for each configuration, over its seeds."""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxmem.evaluation.statistics import Estimate, estimate_over_means, estimate_over_seeds
from jaxmem.render.summary import Figures, Settings, SummaryRow
from jaxmem.rules import CLASSICAL
from jaxmem.runs import GROUP_NAMES, LEARNED, MAIN, Run

# What a run is called, where it is put and how it is kept says nothing about its configuration.
ASIDE = ("seed", "out", "overwrite", "resume", "checkpoint", "loggers")
RESAMPLING = 0  # seed of the bootstrap: a summary made again is the same


def summary_of(runs: Sequence[Run]) -> tuple[list[SummaryRow], dict[str, str]]:
    """Makes a row for each configuration, by workload and then by failed requests.

    Returns:
        Rows as summary.json has them, and why a run is in none: another has its configuration and
        seed.
    """
    left_out: dict[str, str] = {}
    groups: dict[str, dict[int, Run]] = {}
    for run in runs:
        settings = {key: value for key, value in run.config.items() if key not in ASIDE}
        members = groups.setdefault(json.dumps(settings, sort_keys=True, default=str), {})
        twin = members.setdefault(run.config.get("seed", 0), run)
        if twin is not run:
            left_out[run.name] = f"the same configuration and seed as {twin.name}"
    members = [[found[seed] for seed in sorted(found)] for found in groups.values()]
    told = configurations([found[0].config for found in members])
    rows = [_row(found, settings) for found, settings in zip(members, told, strict=True)]
    return sorted(rows, key=lambda row: (row["workload"], row["failed_requests"]["iqm"])), left_out


def configurations(configs: Sequence[Settings]) -> list[Settings]:
    """Returns what tells each of the configurations from the others, but for the seed.

    A setting of a learner, say, is told where it differs between configurations with that learner.
    Where nothing differs, workload and learner are told.
    """
    flat = [_flat({key: of for key, of in c.items() if key not in ASIDE}) for c in configs]
    kinds = [
        {g: settings.pop(f"{g}.{n}") for g, n in GROUP_NAMES.items() if f"{g}.{n}" in settings}
        for settings in flat
    ]
    differing = _differing(flat, kinds)
    told = []
    for settings, kind in zip(flat, kinds, strict=True):
        mine = {group: name for group, name in kind.items() if (group, None) in differing}
        mine |= {key: of for key, of in settings.items() if _among(key, kind) in differing}
        told.append(mine or {group: name for group, name in kind.items() if group != "network"})
    return told


def _differing(flat: Sequence[Settings], kinds: Sequence[Settings]) -> set[tuple[str, object]]:
    """Finds the settings, and kinds, in which configurations differ, each as `_among` has it."""
    values: dict[tuple[str, object], list[object]] = {}
    peers: Counter[tuple[str, object]] = Counter()
    groups = {key.partition(".")[0] for settings in flat for key in settings}
    for settings, kind in zip(flat, kinds, strict=True):
        peers.update((group, kind.get(group)) for group in groups)
        for key, value in settings.items():
            values.setdefault(_among(key, kind), []).append(value)
    for group in GROUP_NAMES:
        values[group, None] = [kind.get(group) for kind in kinds]
    return {
        (key, kind)
        for (key, kind), found in values.items()
        if any(value != found[0] for value in found)
        or len(found) < peers[key.partition(".")[0], kind]
    }


def _among(key: str, kind: Settings) -> tuple[str, object]:
    """Pairs a setting with the kind of learner, say, among which it is compared."""
    return key, kind.get(key.partition(".")[0])


def _flat(config: Settings, above: str = "") -> Settings:
    flat: Settings = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def _row(runs: Sequence[Run], settings: Settings) -> SummaryRow:
    """Computes the figures of the runs of one configuration, which differ in their seeds."""
    means = {
        name: np.array([run.results["policies"][name][MAIN]["mean"] for run in runs], np.float64)
        for name in runs[0].results["policies"]
        if all(name in run.results["policies"] for run in runs)
    }
    least = min(means, key=lambda name: means[name].mean())
    policy = LEARNED if LEARNED in means else least
    fits = [name for name in means if name in CLASSICAL and name != policy]
    row: SummaryRow = {
        "settings": settings,
        "workload": runs[0].results["workload"],
        "seeds": [run.config.get("seed", 0) for run in runs],
        "runs": [run.name for run in runs],
        "policy": policy,
        "interval": _interval_words(runs),
        "failed_requests": _figures(means[policy], _estimate(runs, means, policy)),
        "strongest_fit": None,
        "difference": None,
    }
    if fits:
        fit = min(fits, key=lambda name: means[name].mean())
        beside = _estimate(runs, means, policy, fit)
        row["strongest_fit"] = {
            "policy": fit,
            **_figures(means[fit], _estimate(runs, means, fit)),
        }
        row["difference"] = _figures(means[policy] - means[fit], beside)
    return row


def _figures(by_seed: np.ndarray, estimate: Estimate) -> Figures:
    """Computes the mean over seeds beside their interquartile mean and its interval."""
    return {
        "mean": float(by_seed.mean()),
        "iqm": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "by_seed": by_seed.tolist(),
    }


def _kept(runs: Sequence[Run]) -> bool:
    """Tells whether each run keeps its failures by sequence, all as many and more than one."""
    lengths = {len(next(iter(run.failed.values()), ())) for run in runs}
    return len(lengths) == 1 and max(lengths) > 1


def _interval_words(runs: Sequence[Run]) -> str:
    """Says what the intervals of a row are over."""
    if len(runs) == 1:
        return "sequences"
    return "seeds and sequences" if _kept(runs) else "seeds"


def _estimate(
    runs: Sequence[Run], means: dict[str, np.ndarray], policy: str, less: str | None = None
) -> Estimate:
    """Estimates a policy's failures, or their difference to those of `less`, run by run."""
    if _kept(runs):
        rows = [run.failed[policy] - (run.failed[less] if less else 0.0) for run in runs]
        return estimate_over_seeds(np.stack(rows), RESAMPLING)
    if len(runs) > 1:
        return estimate_over_means(means[policy] - (means[less] if less else 0.0), RESAMPLING)
    results = runs[0].results
    entry = results["policies"][policy][MAIN]
    if less is not None:
        known = less == results.get("reference") and entry.get("difference") is not None
        entry = entry["difference"] if known else {"mean": means[policy][0] - means[less][0]}
    return Estimate(float(entry["mean"]), entry.get("low"), entry.get("high"))
