"""The Play tab: a memory, what is asked for, and what each policy makes of it, step by step."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from jaxmem.app import choices, manual_play, widgets, words
from jaxmem.app.rows import figures, row
from jaxmem.app.text_fields import (
    MOST_STEPPED,
    Layout,
    Sizes,
    Unclear,
    cells_of,
    layout_of,
    layout_text,
    random_layout,
    sizes_of,
)
from jaxmem.names import listed
from jaxmem.render import strip
from jaxmem.render.memory import FIRST_LAYOUT_OWNER, Stretch, with_holes

if TYPE_CHECKING:
    from jaxmem.app.games import Game, Mind, PlayedGame

PACE = 0.8  # seconds a step, when it plays by itself
TYPED, DRAWN = "sizes that I type", "a workload"
OWN = "(as typed)"


class Wanted(NamedTuple):
    """A game as the fields ask for it."""

    cells: int
    layout: Layout
    policies: tuple[str, ...]
    trained: int  # the policies that this page had trained by then
    drawn: tuple[str, int, int] | None  # a workload, requests, seed; None: `sizes` were typed
    sizes: Sizes = ()


def show() -> None:
    """Draws the tab."""
    _begin_play()
    _controls()
    try:
        wanted = _wanted()
    except Unclear as unclear:
        words.warning(str(unclear))
        return
    waiting = st.empty()
    try:
        with widgets.progress_of_play(wanted.policies) as begin:
            game, played, candidate_values = _played_results(wanted, waiting, begin)
    except Unclear as unclear:
        with waiting:
            words.warning(str(unclear))
        return
    waiting.empty()
    pace = PACE if st.session_state.get("playing") else None
    board = widgets.guarded(lambda: _board(game, played, candidate_values, pace))
    st.fragment(board, run_every=pace, key="board")()


def _begin_play() -> None:
    """Fills the fields when a visitor comes."""
    first = next(iter(choices.presets()))
    preset = choices.presets()[first]
    for key, value in {
        "play_preset": first,
        "play_cells": preset.cells,
        "play_layout": preset.layout,
        "play_sizes": preset.sizes,
        "play_source": TYPED,
        "play_workload": "large-short-lived",
        "play_count": 120,
        "play_seed": 0,
        "play_policies": list(choices.AT_FIRST["play_policies"]),
        "play_yours": False,
    }.items():
        st.session_state.setdefault(key, value)


def _controls() -> None:
    """Draws what a visitor chooses first: the board is to be seen without scrolling."""
    state = st.session_state
    left, right = st.columns([2, 3])
    with left:
        st.selectbox(
            "Begin with", [*choices.presets(), OWN], key="play_preset", on_change=_take_example
        )
    with right:
        widgets.policies("play_policies")
    chosen = choices.presets().get(state.play_preset)
    if chosen is not None and chosen.said:
        st.caption(chosen.said)
    with st.expander("A memory and requests of my own"):
        _own_fields()


def _own_fields() -> None:
    """The fields that say what is played."""
    state = st.session_state
    left, right = st.columns([3, 2])
    with left:
        a, b = st.columns([1, 3])
        a.text_input("Memory (cells)", key="play_cells", on_change=_own)
        b.text_input("Blocks already there (start:size, …)", key="play_layout", on_change=_own)
        st.button("Random holes", key="play_holes_button", on_click=_random_holes)
    with right:
        st.radio("Requests from", [TYPED, DRAWN], key="play_source", horizontal=True,
                 on_change=_take_source)  # fmt: skip
        if state.play_source == TYPED:
            st.text_input(
                "Sizes (cells), one request after another; free:1 frees the first",
                key="play_sizes", on_change=_own,
            )  # fmt: skip
        else:
            a, b, c = st.columns([3, 2, 2])
            a.selectbox(
                "Workload", choices.workloads(), key="play_workload", on_change=_take_source
            )
            b.number_input("Requests", 1, MOST_STEPPED, key="play_count")
            c.number_input("Seed", 0, 2**31 - 1, key="play_seed")


def _take_example() -> None:
    """Fills the fields with the memory that was chosen."""
    preset = choices.presets().get(st.session_state.play_preset)
    if preset is not None:
        state = st.session_state
        state.play_cells, state.play_layout, state.play_sizes = preset[:3]
        state.play_source = TYPED


def _own() -> None:
    st.session_state.play_preset = OWN


def _take_source() -> None:
    """A workload is drawn in an empty memory of its own size, until something else is typed."""
    _own()
    if st.session_state.play_source == DRAWN:
        st.session_state.play_cells = st.session_state.play_layout = ""


def _random_holes() -> None:
    state = st.session_state
    state.holes_seed = state.get("holes_seed", -1) + 1
    try:
        cells = cells_of(state.play_cells)
    except Unclear:
        cells = 100
        state.play_cells = str(cells)
    state.play_layout = layout_text(random_layout(cells, state.holes_seed))
    _own()


def _wanted() -> Wanted:
    """Reads the fields; raises `Unclear`."""
    state = st.session_state
    drawn = state.play_source == DRAWN
    standard = drawn and not state.play_cells.strip()
    cells = _standard_cells(state.play_workload) if standard else cells_of(state.play_cells)
    if not state.play_policies:
        raise Unclear("No policy is chosen: take at least one.")
    return Wanted(
        cells=cells,
        layout=layout_of(state.play_layout, cells),
        policies=tuple(state.play_policies),
        trained=state.get("trained_number", 0),
        drawn=(state.play_workload, int(state.play_count), int(state.play_seed)) if drawn else None,
        sizes=() if drawn else sizes_of(state.play_sizes, cells),
    )


def _standard_cells(name: str) -> int:
    from jaxmem.workloads.registry import workload

    return workload(name).cells


def _played_results(
    wanted: Wanted, waiting: DeltaGenerator, begin: Callable[[str], None]
) -> "tuple[Game, dict[str, PlayedGame], dict[str, Mind | None]]":
    """The game, and what each policy played and thought; kept until something else is wanted.

    Args:
        waiting: a place for what there is to be seen until then.
        begin: is told which policy plays next.
    """
    first = "memo game" not in st.session_state
    if first:
        # The memory is there at once; what the policies make of it when JAX is awake.
        blocks = [
            Stretch(at, many, FIRST_LAYOUT_OWNER - k) for k, (at, many) in enumerate(wanted.layout)
        ]
        waiting.html(strip.bar(with_holes(blocks, wanted.cells)) + strip.axis(wanted.cells))
    # JAX is imported here, when the page has been painted.
    from jaxmem.app import games

    def compute() -> "tuple[Game, dict[str, PlayedGame], dict[str, Mind | None]]":
        if wanted.drawn is not None:
            name, many, seed = wanted.drawn
            game = games.drawn_game(name, wanted.cells, wanted.layout, many, seed)
        else:
            game = games.typed_game(wanted.cells, wanted.layout, wanted.sizes)
        played, candidate_values = {}, {}
        for name in wanted.policies:
            begin(name)
            trained = name == choices.TRAINED
            mine = st.session_state.trained if trained else None
            who = games.player_of(mine) if mine else games.player(name, game.source)
            played[name] = games.play(game, who)
            if first:
                shown = "".join(row(game, run, None, 0) for run in played.values())
                waiting.html(shown + strip.axis(game.task.cells))
            candidate_values[name] = games.think(game, who, played[name])
        return game, played, candidate_values

    return widgets.memo("game", wanted, compute)


def _board(
    game: "Game",
    played: "dict[str, PlayedGame]",
    candidate_values: "dict[str, Mind | None]",
    pace: float | None,
) -> None:
    state = st.session_state
    last = game.length
    if state.get("play_of") is not game:
        preset = choices.presets().get(state.play_preset)
        state.play_of, state.play_step = game, min(preset.step if preset else 0, last)
    _advance(last)
    left, middle, right = st.columns([1, 6, 2], vertical_alignment="center")
    playing = state.get("playing", False)
    left.button(
        "Pause" if playing else "Play", key="play_button", on_click=_toggle, args=(last,),
        icon=f":material/{'pause' if playing else 'play_arrow'}:",
    )  # fmt: skip
    middle.slider("Step", 0, last, key="play_step", on_change=_pause, label_visibility="collapsed")
    right.toggle("Place the requests yourself", key="play_yours")
    if state.play_yours:
        manual_play.show(game)
    now = state.play_step
    size = int(game.size[now]) if now < last else 0
    st.markdown(
        f"**Request {now + 1} of {last} asks for {size} {'cell' if size == 1 else 'cells'}.** "
        + _outcome(played, now)
        if now < last
        else f"**After the last of {last} {'request' if last == 1 else 'requests'}.**"
    )
    rows = [row(game, run, candidate_values.get(name), now) for name, run in played.items()]
    st.html("".join(rows) + strip.axis(game.task.cells) + strip.legend())
    everyone = list(played.values())
    if state.play_yours and (mine := manual_play.played(game)) is not None:
        everyone.append(mine)
    st.html(figures(everyone))
    if playing != (pace is not None):
        st.rerun(scope="app")  # with a fragment that redraws itself, or one that does not


def _outcome(played: "dict[str, PlayedGame]", now: int) -> str:
    """Says who can place request `now` and who cannot."""
    placed = [choices.title(name) for name, run in played.items() if run.start[now] >= 0]
    failed = [choices.title(name) for name, run in played.items() if run.start[now] < 0]
    if not failed:
        return "The dashed frame is where it goes."
    if not placed:
        return "No policy has a hole for it."
    return f"{listed(failed)} cannot place it; {listed(placed)} can."


def _toggle(last: int) -> None:
    state = st.session_state
    state.playing = not state.get("playing", False)
    state.moved = time.monotonic()
    if state.playing and state.play_step >= last - 1:
        state.play_step = 0


def _pause() -> None:
    st.session_state.playing = False


def _advance(last: int) -> None:
    """The next step, when it plays by itself and it is time."""
    state = st.session_state
    if not state.get("playing") or time.monotonic() - state.moved < 0.7 * PACE:
        return
    state.moved = time.monotonic()
    state.play_step = min(state.play_step + 1, last)
    state.playing = state.play_step < last
