"""What every tab draws alike: styles, pictures, the field for policies, and what goes wrong."""

import base64
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TypeVar

import streamlit as st

from jaxmem.app import choices, words
from jaxmem.render import strip, web_table

T = TypeVar("T")

PAGE_STYLE = """<style>
.block-container { padding-top: 2.6rem; max-width: none; }
[data-testid="stMarkdownContainer"] > p, [data-testid="stMarkdownContainer"] li {
  max-width: 62rem; }
[data-tag] { background-color: #e4e7eb !important; color: #1f2328 !important; }
[data-testid="stTabs"] button p { font-size: 1rem; }
.jm-picture { overflow-x: auto; margin: .4rem 0 .8rem; }
.jm-picture img { width: 100%; min-width: 34rem; display: block; }
@media (max-width: 640px) { .block-container { padding-left: .8rem; padding-right: .8rem; } }
</style>"""


def add_styles() -> None:
    """The styles; before anything that needs them."""
    st.html(strip.STYLE + web_table.TABLE_STYLE + words.WORDS_STYLE + PAGE_STYLE)


def guarded(draw: Callable[[], None]) -> Callable[[], None]:
    """The same, but that an error is told on the page and logged, and goes no further."""

    def drawn() -> None:
        try:
            draw()
        except Exception as error:  # one part that fails must not take the others with it
            logging.getLogger(__name__).error("%s", traceback.format_exc())
            st.error(f"Something went wrong here ({type(error).__name__}); the page goes on.")

    return drawn


def picture(png: bytes, said: str) -> None:
    """A picture as wide as the page; on a phone it scrolls sideways, and stays legible.

    Args:
        said: to those who do not see it.
    """
    data = base64.b64encode(png).decode()
    image = f'<img alt="{escape(said)}" src="data:image/png;base64,{data}">'
    st.html(f'<div class="jm-picture">{image}</div>')


def policies(
    key: str, names: Sequence[str] = (), title: Callable[[str], str] = choices.title
) -> None:
    """The field in which policies are chosen, kept under `key`.

    Args:
        names: that there are; (): those that play in cells.
        title: what the field calls them.
    """
    state = st.session_state
    names = names or choices.player_names("trained" in state)
    state[key] = [name for name in state[key] if name in names]
    most = choices.MOST_CHOSEN[key]
    st.multiselect("Policies", names, key=key, format_func=title, max_selections=most)


@contextmanager
def progress_of_play(names: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """Says, while policies play, which it is and how far that is; gives what is told of each."""
    place = st.empty()

    def add_styles(name: str) -> None:
        done = list(names).index(name)
        place.progress(
            done / len(names),
            text=f"{choices.title(name)} is compiled and plays: policy {done + 1} of {len(names)}. "
            "The first visit compiles what later ones find in the cache: half a minute, about.",
        )

    woken = "woken" in st.session_state
    said = "Playing …" if woken else "JAX is being imported; then the policies are compiled …"
    with st.spinner(said, show_time=True):
        yield add_styles
    st.session_state.woken = True
    place.empty()


def memo(key: str, wanted: object, compute: Callable[[], T]) -> T:
    """Keeps what `compute` gives for this visitor until something else is `wanted`."""
    kept = st.session_state.get(f"memo {key}")
    if kept is None or kept[0] != wanted:
        kept = (wanted, compute())
        st.session_state[f"memo {key}"] = kept
    return kept[1]
