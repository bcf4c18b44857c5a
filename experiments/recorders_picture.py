"""What each recorder costs, program by program."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxmem.render.palette import GRID, INK, MUTED
from jaxmem.render.style import FIGURE_WIDTH, Target, new_figure, picture_style, save_figure

COLOURS = {"preload": "#d55e00", "memray": "#44aa99", "valgrind": MUTED}
TICKS = (1, 2, 5, 10, 20, 50, 100, 200)
BAR, GAP = 0.26, 0.5  # inches


def draw_recorders(path: Target, ratios: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws a bar for each recorder of each program, on a logarithmic axis that begins at 1.

    Args:
        ratios: for each program CPU seconds over those of the plain run, by recorder.
    """
    place, ticks, names = 0.0, [], list(ratios)
    with picture_style():
        bars = sum(len(kinds) for kinds in ratios.values())
        figure = new_figure(FIGURE_WIDTH, 1.3 + BAR * bars + GAP * len(names))
        figure.suptitle("CPU seconds over the plain run", x=0.01, ha="left")
        axes = figure.subplots()
        for kinds in ratios.values():
            ticks.append(place + BAR * (len(kinds) - 1) / 2)
            for kind, ratio in kinds.items():
                # A run may come out cheaper than the plain one by chance; the figure tells.
                axes.barh(place, max(ratio, 1), BAR * 0.9, color=COLOURS[kind], label=kind)
                said = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
                axes.annotate(said, (max(ratio, 1), place), xytext=(4, 0), va="center",
                              textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
                place += BAR
            place += GAP
        most = max(ratio for kinds in ratios.values() for ratio in kinds.values())
        axes.set(xscale="log", xlim=(1, 1.4 * max(most, 1.5)), ylim=(place - GAP / 2, -GAP))
        axes.set_yticks(ticks, names)
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles=list(handles.values()), labels=list(handles), loc="upper right",
                      ncols=len(handles))  # fmt: skip
        return save_figure(figure, path)
