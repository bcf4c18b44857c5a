"""The memory as a bar of HTML: as wide as its page, with text that stays legible on a phone.

Positions are in percent of the memory, so nothing is computed again when a window changes. Colours
are those of every picture; what is told by colour is told by a word or a mark too.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from jaxmem.render.memory import FREE, Stretch
from jaxmem.render.palette import (
    EDGE,
    FAILED,
    HATCH,
    HOLE,
    INK,
    LAYOUT,
    MUTED,
    WASTED,
    policy_colour,
    policy_title,
    shade,
    text_on,
)

STYLE = f"""<style>
.jm-head {{ display: flex; flex-wrap: wrap; gap: 0 .8em; align-items: baseline;
  margin: .5rem 0 .2rem; font-size: .92rem; color: {INK}; }}
.jm-head b {{ border-left: .35em solid; padding-left: .4em; }}
.jm-head .muted {{ color: {MUTED}; }}
.jm-head .failed {{ color: {FAILED}; font-weight: 600; }}
.jm-bar {{ position: relative; height: 2.6rem; background: {HOLE}; border: 1px solid {EDGE};
  border-radius: 3px; overflow: hidden; }}
.jm-bar > div {{ position: absolute; top: 0; bottom: 0; box-sizing: border-box; overflow: hidden;
  container-type: inline-size; border-right: 1px solid #fff; display: flex; align-items: center;
  justify-content: center; font: 600 .78rem/1 system-ui, sans-serif; }}
.jm-bar .free {{ color: {MUTED}; font-weight: 400; border-right: 0; }}
.jm-bar .wasted {{ background: {WASTED}; color: {INK}; }}
.jm-bar .before {{ background: repeating-linear-gradient(45deg, {LAYOUT} 0 5px, {HATCH} 5px 6px); }}
.jm-bar .goes {{ background: #fff; border: 2px dashed; z-index: 2; }}
.jm-bar span {{ white-space: nowrap; }}
@container (max-width: 13px) {{ .jm-bar .w2, .jm-bar .w3 {{ display: none; }} }}
@container (max-width: 6px) {{ .jm-bar .w1 {{ display: none; }} }}
@container (max-width: 22px) {{ .jm-bar .w3 {{ display: none; }} }}
.jm-axis {{ position: relative; height: 1.1rem; color: {MUTED}; font: .7rem/1.1rem system-ui,
  sans-serif; margin-bottom: .5rem; }}
.jm-axis span {{ position: absolute; transform: translateX(-50%); }}
.jm-axis span:first-child {{ transform: none; }}
.jm-axis span:last-child {{ transform: translateX(-100%); }}
.jm-legend {{ display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; color: {MUTED};
  font: .78rem/1.5 system-ui, sans-serif; margin: .2rem 0 .6rem; }}
.jm-legend i {{ display: inline-block; box-sizing: border-box; width: 1.8em; height: .95em;
  margin-right: .45em; vertical-align: -.1em; border-radius: 2px; }}
.jm-candidate-values {{ position: relative; height: 3.4rem; margin: 0 1px; }}
.jm-candidate-values > div {{ position: absolute; border-bottom: 4px solid; min-width: 3px;
  font: .68rem/1 system-ui, sans-serif; text-align: center; white-space: nowrap; }}
.jm-candidate-values > div > span {{ position: absolute; bottom: 2px; left: 50%;
  transform: translateX(-50%); }}
.jm-candidate-values .best {{ font-weight: 700; z-index: 2; }}
</style>"""


class Head(NamedTuple):
    """The line above a bar: whose it is, and figures; `failed` of them in red."""

    policy: str
    figures: str
    failed: str = ""


class Candidate(NamedTuple):
    """A placement that a learned policy could have chosen."""

    start: int  # cell
    value: float  # what its network thinks that it is worth


def bar(
    memory: Sequence[Stretch],
    shades: Sequence[str] = (),
    goes: Stretch | None = None,
    failed: int | None = None,
    colour: str = INK,
) -> str:
    """Draws the memory as a bar; blocks carry the numbers of their requests, counted from 1.

    Args:
        memory: in address order, without a gap.
        shades: the colour of the block of each request, `#rrggbb`, as of `lifetime_colours`.
        goes: where the request that waits will lie, as a block of it.
        failed: cells of a request that fits nowhere: the free cells, of no use to it, are red.
        colour: of the frame around `goes`.
    """
    cells = memory[-1].end
    parts = [
        _stretch(stretch, cells, shades, failed is not None, _takes(stretch, goes))
        for stretch in memory
    ]
    if goes is not None:
        label = f"{goes.owner + 1}"
        parts.append(
            f'<div class="goes" style="{_at(goes, cells)};color:{INK};border-color:{colour}" '
            f'title="request {label} goes to cells {goes.start} to {goes.end - 1}">'
            f"{_label(label)}</div>"
        )
    said = f"memory of {cells} cells"
    return f'<div class="jm-bar" role="img" aria-label="{said}">{"".join(parts)}</div>'


def _takes(hole: Stretch, goes: Stretch | None) -> bool:
    return goes is not None and hole.start <= goes.start < hole.end


def _stretch(
    stretch: Stretch, cells: int, shades: Sequence[str], wasted: bool, hidden: bool
) -> str:
    where = f"cells {stretch.start} to {stretch.end - 1}"
    if stretch.owner == FREE:
        # What goes into the hole would hide a part of its number.
        look, label = ("wasted" if wasted else ""), "" if hidden else f"{stretch.size}"
        return (
            f'<div class="free {look}" style="{_at(stretch, cells)}" '
            f'title="{stretch.size} free: {where}">{_label(label)}</div>'
        )
    if stretch.owner < FREE:
        return (
            f'<div class="before" style="{_at(stretch, cells)}" '
            f'title="{stretch.size} there before: {where}"></div>'
        )
    colour, label = shades[stretch.owner], f"{stretch.owner + 1}"
    return (
        f'<div class="block" style="{_at(stretch, cells)};background:{colour};'
        f'color:{text_on(colour)}" title="request {label}, {stretch.size} cells: {where}">'
        f"{_label(label)}</div>"
    )


def _at(stretch: Stretch, cells: int) -> str:
    return f"left:{_css_percent(stretch.start, cells)};width:{_css_percent(stretch.size, cells)}"


def _css_percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4f}%"


def _label(text: str) -> str:
    return f'<span class="w{min(len(text), 3)}">{text}</span>'


def axis(cells: int) -> str:
    """Writes addresses below a bar."""
    step = max(1, cells // 4)
    ticks = [*range(0, cells - step // 2, step), cells]
    marks = "".join(
        f'<span style="left:{_css_percent(tick, cells)}">{tick:,}</span>' for tick in ticks
    )
    return f'<div class="jm-axis">{marks}</div>'


def legend() -> str:
    """Says what the looks of a bar mean."""
    pale, dark = shade(0.0), shade(1.0)
    keys = (
        (f"background:linear-gradient(90deg,{pale},{dark})", "a block: dark if it lives long"),
        (f"background:repeating-linear-gradient(45deg,{LAYOUT} 0 5px,{HATCH} 5px 6px)",
         "there before"),
        (f"background:{HOLE};border:1px solid {EDGE}", "free (cells)"),
        (f"border:2px dashed {INK}", "where the request goes"),
        (f"background:{WASTED}", "free, and of no use: the request fails"),
    )  # fmt: skip
    parts = (f'<span><i style="{look}"></i>{escape(said)}</span>' for look, said in keys)
    return f'<div class="jm-legend">{"".join(parts)}</div>'


def head(above: Head) -> str:
    """Writes the line above a bar."""
    failed = f'<span class="failed">{escape(above.failed)}</span>' if above.failed else ""
    return (
        f'<div class="jm-head"><b style="border-color:{policy_colour(above.policy)}">'
        f"{escape(policy_title(above.policy))}</b>{failed}"
        f'<span class="muted">{escape(above.figures)}</span></div>'
    )


def value_lane(
    candidates: Sequence[Candidate], size: int, cells: int, chosen: int, colour: str
) -> str:
    """Shows what a network thinks of each placement, above the bar: the higher, the better.

    The figures are differences to the best one, which is 0.

    Args:
        size: cells of the request.
        chosen: the start that the policy took.
        colour: of what it took.
    """
    if not candidates:
        return ""
    values = [candidate.value for candidate in candidates]
    best, span = max(values), max(max(values) - min(values), 1e-9)
    parts = []
    for candidate in candidates:
        height = 4 + 58 * (candidate.value - min(values)) / span
        took = candidate.start == chosen
        # Of many candidates only two have room for a figure.
        told = took or candidate.value == best or len(candidates) <= 4
        label = f"{candidate.value - best:+.2f}" if candidate.value < best else "best"
        look = f"color:{colour if took else MUTED};bottom:{height:.0f}%"
        where = f"left:{_css_percent(candidate.start, cells)};width:{_css_percent(size, cells)}"
        parts.append(
            f'<div class="{"best" if took else ""}" style="{where};{look}" '
            f'title="cell {candidate.start}: {candidate.value:.4f}'
            f'{", taken" if took else ""}"><span>{label if told else ""}</span></div>'
        )
    return f'<div class="jm-candidate-values">{"".join(parts)}</div>'
