"""What each policy made of a game, as HTML: its memory at a moment, and the figures in the end."""

from typing import TYPE_CHECKING

from jaxmem.render import strip, web_table
from jaxmem.render.memory import Stretch, memory_at
from jaxmem.render.palette import lifetime_colours, policy_colour

if TYPE_CHECKING:
    from jaxmem.app.games import Game, Mind, PlayedGame


def row(game: "Game", run: "PlayedGame", thought: "Mind | None", now: int) -> str:
    """One policy at one moment; addresses are told below all of them."""
    cells, last = game.task.cells, game.length
    memory = memory_at(now, run.start, game.size, game.lifetime, cells, game.task.layout)
    placed = int((run.start[:now] >= 0).sum())
    holes, largest = int(run.holes[now]), int(run.largest[now])
    told = (
        f"placed {placed} of {now} · {holes} {'hole' if holes == 1 else 'holes'}, largest "
        f"{largest} · fragmentation {run.fragmentation(now, cells):.2f}"
    )
    colour = policy_colour(run.name)
    goes, size = None, None
    if now < last:
        start, size = int(run.start[now]), int(game.size[now])
        goes = Stretch(start, size, now) if start >= 0 else None
    fails = now < last and goes is None
    so_far = now - placed + fails
    said = f"{so_far} failed" if so_far else ""
    said += f": no hole holds {size}" if fails else ""
    lane = ""
    if thought is not None and goes is not None:
        told += f" · {thought.says(now, goes.start)} · {thought.scale}"
        lane = strip.value_lane(
            _shown_candidates(thought, now), goes.size, cells, goes.start, colour
        )
    above = strip.head(strip.Head(run.name, told, said))
    shades = lifetime_colours(game.lifetime)
    drawn = strip.bar(memory, shades, goes, size if fails else None, colour)
    return above + lane + drawn


def _shown_candidates(thought: "Mind", now: int) -> list[strip.Candidate]:
    found = {
        int(start): float(value)
        for start, value in zip(thought.seen.start[now], thought.seen.value[now], strict=True)
        if start >= 0
    }
    return [strip.Candidate(start, value) for start, value in found.items()]


FIGURES = {
    "placed requests": ("placed_requests", 0),
    "failed requests (%)": ("failed_requests", 2),
    "holes per cell": ("holes_per_cell", 3),
    "external fragmentation": ("external_fragmentation", 3),
    "unusable free share": ("unusable_free", 3),
    "utilization": ("utilization", 3),
}


def figures(everyone: "list[PlayedGame]") -> str:
    """Tells what is left in the end, with the figures that `jaxmem compare` gives."""
    best = {
        key: (max if key in ("placed_requests", "utilization") else min)(
            round(run.figures[key], digits) for run in everyone
        )
        for key, digits in FIGURES.values()
    }
    rows = []
    for run in everyone:
        cells = []
        for key, digits in FIGURES.values():
            value = round(run.figures[key], digits)
            alike = len({round(other.figures[key], digits) for other in everyone}) == 1
            look = "best" if value == best[key] and not alike else ""
            cells.append(web_table.WebCell(f"{value:.{digits}f}", look))
        rows.append((run.name, cells))
    notes = ("After the last request; bold: the best. The same figures as jaxmem compare gives.",)
    return web_table.table(list(FIGURES), rows, notes)
