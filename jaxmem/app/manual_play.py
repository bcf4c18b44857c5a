"""A person's own placements in the Play tab: one request after another, beside the policies'."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from jaxmem.render import strip
from jaxmem.render.memory import Stretch, fits, legal_ends, memory_at
from jaxmem.render.palette import lifetime_colours

if TYPE_CHECKING:
    from jaxmem.app.games import Game, PlayedGame

YOU = "you"


def show(game: "Game") -> None:
    """Draws the person's memory and what can be done with the request that waits."""
    mine = _mine(game)
    now, last, cells = len(mine), game.length, game.task.cells
    memory = _memory(game, mine)
    failed = sum(start < 0 for start in mine)
    told = f"placed {now - failed} of {now}" + (" · done" if now == last else "")
    st.html(
        strip.head(strip.Head(YOU, told, f"{failed} failed" if failed else ""))
        + strip.bar(memory, lifetime_colours(game.lifetime))
        + strip.axis(cells)
    )
    if now < last:
        size = int(game.size[now])
        options = legal_ends(memory, size)
        if options:
            st.pills(
                f"Request {now + 1} of {last} asks for {size}: take cells",
                options, key="mine_button", on_change=_place, args=(game, now),
                format_func=lambda start: f"{start} to {start + size - 1}",
            )  # fmt: skip
            a, b = st.columns([1, 3], vertical_alignment="bottom")
            a.number_input("or from cell", 0, cells - 1, key="mine_cell_button")
            b.button(
                "Place it there", key="mine_there_button", on_click=_place_there, args=(game, now)
            )
        else:
            st.button(f"Request {now + 1} asks for {size}, and no hole holds it: go on",
                      key="mine_refuse_button", on_click=_add, args=(game, now, -1))  # fmt: skip
    if st.session_state.pop("mine_refused", False):
        st.warning("That place is not free for the whole request: take another.")
    a, b, _ = st.columns([1, 1, 4])
    a.button(
        "Take back", key="mine_back_button", on_click=_take_back, args=(game,), disabled=not mine
    )
    b.button("Begin anew", key="mine_anew_button", on_click=mine.clear, disabled=not mine)


def played(game: "Game") -> "PlayedGame | None":
    """Follows the person's game to its end; None until every request has been answered."""
    from jaxmem.app import games

    mine = _mine(game)
    return games.replay_starts(game, mine, YOU) if len(mine) == game.length else None


def _mine(game: "Game") -> list[int]:
    """The start cells so far, below 0: failed; a new list for a new game."""
    state = st.session_state
    about = (game.task.cells, game.task.layout, game.size.tobytes(), game.lifetime.tobytes())
    if state.get("mine_of") != about:
        state.mine_of, state.mine = about, []
    return state.mine


def _memory(game: "Game", mine: list[int]) -> list[Stretch]:
    return memory_at(
        len(mine), np.array(mine, np.int64), game.size, game.lifetime, game.task.cells,
        game.task.layout,
    )  # fmt: skip


def _place(game: "Game", now: int) -> None:
    start = st.session_state.mine_button
    if start is not None:
        _add(game, now, start)
    st.session_state.mine_button = None


def _place_there(game: "Game", now: int) -> None:
    mine, start = _mine(game), int(st.session_state.mine_cell_button)
    if len(mine) == now and fits(_memory(game, mine), start, int(game.size[now])):
        _add(game, now, start)
    else:
        st.session_state.mine_refused = True


def _take_back(game: "Game") -> None:
    mine = _mine(game)
    if mine:
        mine.pop()


def _add(game: "Game", now: int, start: int) -> None:
    answer(_mine(game), now, start)


def answer(mine: list[int], now: int, start: int) -> None:
    """Answers request `now`, once: a click may come twice, while the page is being redrawn."""
    if len(mine) == now:
        mine.append(start)
