"""The Race tab: several policies on the same sequence, address over time, side by side."""

import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from jaxmem.app import choices, widgets, words
from jaxmem.app.text_fields import SHOWN_CELLS, Unclear
from jaxmem.extras import how_to_get
from jaxmem.render.palette import count
from jaxmem.render.race_player import race_page
from jaxmem.render.video import ffmpeg, save_gif, save_mp4

if TYPE_CHECKING:
    from PIL import Image

    from jaxmem.app.games import Game

MOST_RACE_REQUESTS = 320  # requests
SECONDS = 12.0  # that a GIF or a video takes


class Wanted(NamedTuple):
    """A race as the controls ask for it."""

    workload: str
    cells: int | None  # None: its standard size
    requests: int
    seed: int
    policies: tuple[str, ...]
    trained: int  # the policies that this page had trained by then


def show() -> None:
    """Draws the tab."""
    _begin_race()
    _race_controls()
    wanted = _wanted_race()
    if not wanted.policies:
        st.warning("No policy is chosen: take at least one.")
        return
    try:
        with widgets.progress_of_play(wanted.policies) as begin:
            game, starts = widgets.memo("race", wanted, lambda: _play_all(wanted, begin))
    except Unclear as unclear:
        words.warning(str(unclear))
        return
    cells, layout = game.task.cells, game.task.layout
    st.iframe(
        race_page(starts, game.size, game.lifetime, cells, layout),
        alt="the memory of each policy, address over time, as a film",
    )
    _downloads(wanted, game, starts)


def _begin_race() -> None:
    for key, value in {
        "race_workload": "large-short-lived",
        "race_cells": 0,
        "race_count": MOST_RACE_REQUESTS,
        "race_seed": 0,
        "race_policies": list(choices.AT_FIRST["race_policies"]),
    }.items():
        st.session_state.setdefault(key, value)


def _race_controls() -> None:
    a, b, c, d = st.columns([3, 2, 2, 2])
    a.selectbox("Workload", choices.workloads(), key="race_workload")
    b.number_input("Memory (cells; 0: its standard size)", 0, SHOWN_CELLS, key="race_cells")
    c.number_input("Requests", 1, MOST_RACE_REQUESTS, key="race_count")
    d.number_input("Seed", 0, 2**31 - 1, key="race_seed")
    widgets.policies("race_policies")


def _wanted_race() -> Wanted:
    state = st.session_state
    return Wanted(
        workload=state.race_workload,
        cells=int(state.race_cells) or None,
        requests=int(state.race_count),
        seed=int(state.race_seed),
        policies=tuple(state.race_policies),
        trained=state.get("trained_number", 0),
    )


def _play_all(wanted: Wanted, begin: Callable[[str], None]) -> "tuple[Game, dict[str, np.ndarray]]":
    from jaxmem.app import games  # JAX is imported here, when the controls have been painted

    game = games.drawn_game(wanted.workload, wanted.cells, (), wanted.requests, wanted.seed)
    starts = {}
    for name in wanted.policies:
        begin(name)
        trained = name == choices.TRAINED
        mine = st.session_state.trained if trained else None
        who = games.player_of(mine) if mine else games.player(name, game.source)
        starts[name] = games.play(game, who).start
    return game, starts


def _downloads(wanted: Wanted, game: "Game", starts: dict[str, np.ndarray]) -> None:
    """Buttons for the film as a file; it is made when one is pressed."""
    named = f"race-{wanted.workload}"

    def frames() -> "list[Image.Image]":
        from jaxmem.render.animation import draw_frames  # and matplotlib with it

        title = f"{wanted.workload}: {count(game.length, 'request')} in "
        title += count(game.task.cells, "cell")
        return draw_frames(
            starts, game.size, game.lifetime, game.task.cells, game.task.layout, title=title
        )

    def gif() -> bytes:
        file = BytesIO()
        save_gif(file, frames(), SECONDS)
        return file.getvalue()

    def mp4() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "race.mp4"
            save_mp4(path, frames(), SECONDS)
            return path.read_bytes()

    a, b, _ = st.columns([1, 1, 3])
    a.download_button("Download as GIF", gif, f"{named}.gif", "image/gif", key="race_gif_download",
                      on_click="ignore")  # fmt: skip
    if ffmpeg() is not None:
        b.download_button("Download as MP4", mp4, f"{named}.mp4", "video/mp4",
                          key="race_mp4_download", on_click="ignore")  # fmt: skip
    else:
        b.caption(f"An MP4 needs ffmpeg: install it, or {how_to_get('demo', 'jaxmem demo')}.")
