"""One look for every picture: fonts, density, and what failures and lifetimes look like."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from jaxmem.render.palette import (
    EDGE,
    FAILED,
    HATCH,
    HOLE,
    INK,
    LAYOUT,
    MUTED,
    NEVER,
    SHADES,
    WASTED,
    lifetime_range,
    policy_title,
)
from jaxmem.whole_files import Target as Target
from jaxmem.whole_files import write_to

DENSITY = 200  # pixels an inch: twice what a page shows, so text is sharp at half size
FAILED_MARK_HEIGHT = 5  # points above the arena at which a failed request is marked
FIGURE_WIDTH = 10.0  # inches, of every picture that fills a page's width

_LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture everywhere
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "text.color": INK,
    "text.parse_math": False,  # a policy may be called after a path with a $ in it
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.color": EDGE,
    "ytick.color": EDGE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "hatch.linewidth": 0.7,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}


def failure_title(name: str, start: np.ndarray) -> str:
    """Writes the title of a panel: "learned: 4.2 % of requests failed (13 of 320)"."""
    failed, total = int((start < 0).sum()), len(start)
    share = 100 * failed / total if total else 0.0
    gap = "\n" if len(policy_title(name)) > 18 else " "
    return f"{policy_title(name)}:{gap}{share:.1f} % of requests failed ({failed:,} of {total:,})"


def sequential_map() -> Colormap:
    """Makes pale green over blue to navy, evenly darker: read alike with every colour vision."""
    shades = LinearSegmentedColormap.from_list("jaxmem", SHADES)
    return shades.with_extremes(over="#04081c")


@contextmanager
def picture_style() -> Iterator[None]:
    """Has figures made in our look within it; the caller's matplotlib settings come back after."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure of `width` by `height` inches on a canvas unknown to pyplot."""
    size = round(width, 2), round(height, 2)  # so that no pixel is lost to a float just below
    figure = Figure(figsize=size, dpi=DENSITY, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, target: Target) -> Figure:
    """Writes a PNG of the figure's inches times `DENSITY` pixels; the same bytes each time."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        # Names of files may be no UTF-8, and stand in titles as lone surrogates.
        text.set_text(text.get_text().encode("utf-8", "replace").decode())
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DENSITY, metadata={"Software": None})
    write_to(target, drawn.getvalue())
    return figure


def free_key(label: str = "free") -> Patch:
    """Makes the legend entry that shows what free cells look like."""
    return Patch(fc=HOLE, ec=EDGE, lw=0.8, label=label)


def layout_keys(layout: Collection[object]) -> list[Patch]:
    """Makes the legend entry of blocks placed before the first request, if there are any."""
    patch = Patch(fc=LAYOUT, ec=HATCH, hatch="////", lw=0, label="there before")
    return [patch] if len(layout) else []


def failure_key() -> Line2D:
    """Makes the legend entry that shows what marks a failed request."""
    return Line2D([], [], ls="", marker="v", ms=7, mew=0, color=FAILED, label="failed request")


def lifetime_scale(lifetime: np.ndarray) -> LogNorm | None:
    """Returns the logarithmic scale of the lifetimes; none where no block is ever freed."""
    mortal = lifetime[lifetime < NEVER]
    if mortal.size == 0:
        return None
    return LogNorm(*lifetime_range(mortal))


def draw_lifetime_scale(
    figure: Figure, panels: list[Axes], shades: Colormap, norm: LogNorm, forever: bool
) -> None:
    """Draws the colour bar of the lifetimes, beside all panels; its tip means "never freed"."""
    bar = figure.colorbar(ScalarMappable(norm, shades), ax=panels, pad=0.012, fraction=0.03,
                          extend="max" if forever else "neither",
                          aspect=4 * figure.get_figheight())  # fmt: skip
    bar.set_label("lifetime (requests" + ("; tip: never freed)" if forever else ")"))
    few = float(norm.vmax or 1) / float(norm.vmin or 1) < 2000
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def corners(
    left: ArrayLike, bottom: ArrayLike, width: ArrayLike, height: ArrayLike
) -> list[np.ndarray]:
    """Returns N times float[4, 2], the corners (x, y) of a rectangle."""
    left, bottom, width, height = np.broadcast_arrays(*np.atleast_1d(left, bottom, width, height))
    right, top = left + width, bottom + height
    return list(np.stack([left, bottom, right, bottom, right, top, left, top], 1).reshape(-1, 4, 2))


def draw_failures(axes: Axes, failed: np.ndarray, cells: int) -> None:
    """Draws a mark above the arena, and a red column that shows wherever a cell is free."""
    if failed.size == 0:
        return
    low, high = axes.get_xlim()
    width = max(1.0, (high - low) / 900)  # a column must not be thinner than a pixel or two
    columns = corners(failed + 0.5 - width / 2, 0, width, cells)
    axes.add_collection(PolyCollection(columns, facecolors=WASTED, lw=0, zorder=1))
    few = {"marker": "v", "ms": 6, "mew": 0} if failed.size <= 60 else {"marker": "|", "ms": 7}
    lift = ScaledTranslation(0, FAILED_MARK_HEIGHT / 72, axes.figure.dpi_scale_trans)
    axes.plot(failed + 0.5, np.ones(failed.size), ls="", color=FAILED, clip_on=False,
              transform=axes.get_xaxis_transform() + lift, label="failed", **few)  # fmt: skip


def draw_layout(axes: Axes, rectangles: list[tuple[int, int, int, int]]) -> None:
    """Hatches the rectangles (left, bottom, width, height): blocks that were there before."""
    for left, bottom, width, height in rectangles:
        axes.add_patch(Rectangle((left, bottom), width, height, fc=LAYOUT, ec=HATCH,
                                 hatch="////", lw=0, zorder=2, label="there before"))  # fmt: skip
