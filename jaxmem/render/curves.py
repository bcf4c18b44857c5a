"""The learning curve: failed requests of the learned policy against the classical fits."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxmem.render.palette import GRID, INK, MUTED, policy_colour, policy_title
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

Values = Sequence[float] | np.ndarray
START = "its start"  # the label of the rule that training starts from


def short_count(count: float) -> str:
    """Writes a count as on an axis: 950, 20 k, 1.5 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(count) >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:.3g}"


def spread(positions: Values, gap: float, low: float, high: float) -> np.ndarray:
    """Moves positions as little as possible until neighbours are `gap` apart, within [low, high].

    With the positions sorted, y_i, and z_i = y_i - i gap, the least-squares answer is the
    isotonic regression of z (pool adjacent violators), clipped to the room there is. Where the
    room is too small for the gap, the gap shrinks.

    Args:
        positions: float[N], in any order.
    Returns:
        float[N], in the order given.
    """
    wanted = np.asarray(positions, np.float64)
    count = wanted.size
    if count == 0:
        return wanted
    gap = min(gap, (high - low) / max(count - 1, 1))
    order = np.argsort(wanted, kind="stable")
    pools: list[list[float]] = []  # [mean, members]
    for place, value in enumerate(wanted[order]):
        pools.append([value - place * gap, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, members = pools.pop()
            before, already = pools.pop()
            total = already + members
            pools.append([(before * already + mean * members) / total, total])
    level = np.concatenate([np.full(int(members), mean) for mean, members in pools])
    level = np.clip(level, low, high - (count - 1) * gap)
    result = np.empty_like(wanted)
    result[order] = level + np.arange(count) * gap
    return result


def draw_learning_curve(
    path: Target,
    steps: Values,
    series: Values,
    references: Mapping[str, float],
    *,
    start: tuple[str, float] | None = None,
    kept: float | None = None,
    episodes: int | None = None,
    policy: str = "learned",
    ylabel: str = "failed requests (%)",
    title: str = "Failed requests on validation sequences, while learning",
) -> Figure:
    """Draws the learned policy's failures over training, and each fit as a labelled line.

    References more than twice the lowest one would squeeze the rest; they are named at the
    top of the scale with an arrow.

    Args:
        path: the PNG to write, 2000 by 1040 pixels; or an open binary file.
        steps: int[N], environment steps at each validation; N may be 0 or 1.
        series: float[N], failed requests in %; NaN leaves a gap.
        references: failed requests in % of other policies on the same sequences; NaN is left out.
        start: the rule that training starts from, in words, and its failures in %: a solid line.
        kept: steps of the point whose network is kept, which gets a ring.
        episodes: episodes played by the last step, told beside the steps.
        policy: whose curve it is: its name gives colour and label.
    Raises:
        ValueError: `steps` and `series` are not of one length.
    """
    at, failed = np.asarray(steps, np.float64).ravel(), np.asarray(series, np.float64).ravel()
    if at.shape != failed.shape:
        raise ValueError(f"{at.size} steps but {failed.size} values: one value for each step")
    known = {name: float(value) for name, value in references.items() if np.isfinite(value)}
    seen = np.isfinite(failed) & np.isfinite(at)
    with picture_style():
        figure = new_figure(FIGURE_WIDTH, 5.2)
        axes = figure.subplots()
        figure.suptitle(title, x=0.01, ha="left")
        low, high = _y_limits(failed[seen], [*known.values(), *([start[1]] if start else [])])
        axes.set_ylim(low, high)
        right = float(at[seen].max()) if seen.any() else 0.0
        axes.set_xlim(0, right if right > 0 else 1)
        labels = {name: value for name, value in known.items() if name != policy}
        for name, value in labels.items():
            axes.axhline(value, color=policy_colour(name), lw=1.4, ls=(0, (5, 2)), zorder=2)
        if start:
            axes.axhline(start[1], color=INK, lw=1.6, zorder=2.5, label="start")
            labels[START] = start[1]
        if seen.any():
            labels[policy] = _draw_curve(axes, at, failed, seen, policy_colour(policy))
            for place in np.flatnonzero(seen & (at == kept))[:1]:
                _mark_kept(axes, float(at[place]), float(failed[place]))
        else:
            axes.set_xticks([])
            axes.text(0.5, 0.06, "no validation yet", transform=axes.transAxes, ha="center",
                      color=MUTED, bbox={"fc": "white", "lw": 0})  # fmt: skip
        _dress(axes, ylabel, right, episodes)
        if start:
            axes.set_title(f"Training starts from {start[0].split(' (tuned on')[0]}", color=MUTED,
                           weight="normal", fontsize=9.5)  # fmt: skip
        _label_lines(figure, axes, labels, policy)
        return save_figure(figure, path)


def _draw_curve(
    axes: Axes, at: np.ndarray, failed: np.ndarray, seen: np.ndarray, colour: str
) -> float:
    """Draws the curve, with gaps where it was not seen, and returns its last value."""
    joined = np.zeros_like(seen)
    joined[1:] |= seen[:-1]
    joined[:-1] |= seen[1:]
    dots = seen if seen.sum() <= 60 else seen & ~joined  # a lone point would not show as a line
    axes.plot(at, failed, color=colour, lw=2.6, zorder=3, label="curve")
    axes.plot(at[dots], failed[dots], "o", color=colour, ms=4.5, zorder=3)
    axes.plot(at[seen][-1:], failed[seen][-1:], "o", color=colour, ms=8, zorder=4, clip_on=False)
    return float(failed[seen][-1])


def _mark_kept(axes: Axes, steps: float, failed: float) -> None:
    """Draws a ring around the point whose network is kept."""
    axes.plot(steps, failed, "o", ms=14, mfc="none", mew=2, color=INK, zorder=5, clip_on=False,
              label="kept")  # fmt: skip
    axes.annotate(f"kept: {failed:.2f} %", (steps, failed), (-4, -18), weight="bold", ha="right",
                  textcoords="offset points", zorder=5, bbox={"fc": "white", "lw": 0, "pad": 1},
                  )  # fmt: skip


def _y_limits(failed: np.ndarray, references: list[float]) -> tuple[float, float]:
    """Chooses the y limits: all good references, the curve's end, and its start if near."""
    near = [value for value in references if value <= 2 * min(references)]
    if failed.size:
        near.append(float(failed[-1]))
    top = max(near, default=0.0)
    if failed.size:
        top = max(top, min(float(failed.max()), 2 * top))
    if top <= 0:
        return 0.0, 1.0
    least = min([*near, *failed])
    bottom = 0.0 if least < 0.8 * top else least - 0.5 * (top - least) - 0.02 * top
    return max(bottom, 0.0), top + 0.08 * (top - bottom)


def _dress(axes: Axes, ylabel: str, right: float, episodes: int | None) -> None:
    axes.set_ylabel(ylabel)
    axes.set_xlabel("environment steps")
    if right > 0:
        note = f" ({short_count(right)} steps are {episodes:,} episodes)" if episodes else ""
        axes.set_xlabel(f"environment steps{note}")
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: short_count(count)))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _label_lines(figure: Figure, axes: Axes, labels: dict[str, float], policy: str) -> None:
    """Writes each name and value right of its line, nudged off its neighbours."""
    figure.draw_without_rendering()  # the layout must stand before heights mean anything
    low, high = axes.get_ylim()
    point = (high - low) / (axes.get_window_extent().height * 72 / figure.dpi)
    names = sorted(labels, key=lambda name: (labels[name], name))
    ends = [min(labels[name], high) for name in names]
    for name, end, beside in zip(names, ends, spread(ends, 14 * point, low, high), strict=True):
        off = labels[name] > high  # above the scale: an arrow instead of a line to its end
        colour = INK if name == START else policy_colour(name)
        leader = {"arrowstyle": "-", "color": colour, "lw": 1.6, "relpos": (0, 0.5)}
        axes.annotate(
            f"{policy_title(name)} {labels[name]:.2f} %",
            xy=(1.0, end),
            xytext=(1.045, beside),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            weight="bold" if name == policy else "normal",
            annotation_clip=False,
            arrowprops=None if off else {**leader, "shrinkA": 2, "shrinkB": 0},
        )
        if off:
            axes.text(1.02, beside, "\N{UPWARDS ARROW}", color=colour, weight="bold",
                      transform=axes.get_yaxis_transform(), va="center", ha="center")  # fmt: skip
