"""The comparison in a picture: failures with their intervals, and how they are spread."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxmem.render.palette import GRID, INK, MUTED, count, policy_colour, policy_title
from jaxmem.render.report import MAIN, Results, policies_by_failures
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

BOUNDS = {"clairvoyant": "greedy, lifetimes known", "hindsight": "best placements found"}
OFF_SCALE = 2.5  # times the reference's failures: what fails more is off the scale of the profile


def draw_comparison(
    path: Target, results: Results, failed: Mapping[str, np.ndarray] | None = None
) -> Figure:
    """Draws each policy's failed requests with its 95 % interval, and the performance profile.

    The profile says in which share of the sequences a policy fails at most x % of the requests.
    (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice.)

    Args:
        path: the PNG to write, 2000 pixels wide; or an open binary file.
        results: the contents of results.json.
        failed: for each policy, float[P], failed requests in %; without, or for one sequence
            only, there is no profile.
    """
    names = policies_by_failures(results)
    sequences = results["sequences"]
    profile = failed if failed and sequences > 1 else {}
    with picture_style():
        rows = len(names) + (len(BOUNDS) if "hindsight" in results else 0)
        figure = new_figure(FIGURE_WIDTH, 1.5 + 0.34 * max(rows, 5))
        figure.suptitle(
            f"{results['workload']}, {count(results['cells'], 'cell')}: "
            f"{count(sequences, 'request sequence')}",
            x=0.008,
            ha="left",
        )
        across = 2 if profile else 1
        ratios = [1.25, 1.0][:across]
        panels = list(figure.subplots(1, across, squeeze=False, width_ratios=ratios).flat)
        _draw_means(panels[0], results, names)
        if profile:
            base = results["policies"][results["reference"]][MAIN]["mean"]
            _draw_profile(panels[1], {name: profile[name] for name in names}, base)
        return save_figure(figure, path)


def _draw_means(axes: Axes, results: Results, names: list[str]) -> None:
    axes.set_title("failed requests (%), 95 % interval" if results["sequences"] > 1
                   else "failed requests (%)")  # fmt: skip
    found = {name: results["policies"][name].get(MAIN) or {} for name in names}
    reference = found[results["reference"]].get("mean")
    if reference is not None:
        axes.axvline(reference, color=policy_colour(results["reference"]), lw=1.2, ls=(0, (5, 2)))
    for row, (name, entry) in enumerate(found.items()):
        _draw_row(axes, row, name, entry)
    known = {name: results["hindsight"][name] for name in BOUNDS if "hindsight" in results}
    for row, entry in enumerate(known.values(), len(names)):
        _draw_row(axes, row, "", entry[MAIN])
    titles = [policy_title(name) for name in names] + [BOUNDS[name] for name in known]
    axes.set_yticks(range(len(titles)), titles)
    for label, name in zip(axes.get_yticklabels(), [*names, *known], strict=True):
        colour = MUTED if name in known else INK
        label.set(color=colour, weight="bold" if name == "learned" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(titles) - 0.4, -0.6)
    high = axes.get_xlim()[1]
    axes.set_xlim(-0.02 * high, 1.14 * high)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("failed requests (%)")


def _draw_row(axes: Axes, row: int, name: str, entry: Mapping[str, Any]) -> None:
    mean, low, high = (entry.get(key) for key in ("mean", "low", "high"))
    if mean is None:
        axes.text(0, row, "  n/a", va="center", color=MUTED)
        return
    colour = policy_colour(name) if name else MUTED  # no name: a bound, and no policy
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=colour, lw=3)
    axes.plot(mean, row, "o" if name else "D", color=colour, ms=8 if name else 6)
    end = mean if high is None else high
    axes.annotate(f"{mean:.2f}", (end, row), (7, 0), textcoords="offset points", va="center",
                  color=INK if name else MUTED, bbox={"fc": "white", "lw": 0, "pad": 0.6},
                  weight="bold" if name == "learned" else "normal")  # fmt: skip


def _draw_profile(axes: Axes, failed: Mapping[str, np.ndarray], reference: float) -> None:
    axes.set_title("spread over the sequences")
    most = max(float(np.max(values)) for values in failed.values())
    right = min(most, OFF_SCALE * reference) if reference > 0 else most
    right = right if right > 0 else 1.0
    for name, values in failed.items():
        at = np.sort(np.asarray(values, np.float64))
        share = np.arange(1, at.size + 1) / at.size
        axes.step([0, *at, max(right, most)], [0, *share, 1], where="post",
                  lw=2.8 if name == "learned" else 1.8, color=policy_colour(name),
                  label=policy_title(name))  # fmt: skip
    axes.set_xlim(0, right)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("failed requests in a sequence, at most (%)")
    axes.set_ylabel("share of the sequences")
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
