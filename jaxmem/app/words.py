"""Words that may come from a file or a visitor, shown as they are.

Streamlit's own messages are Markdown: a name in them could become a link, or a picture that the
visitor's browser fetches from wherever it says.
"""

from html import escape

import streamlit as st

WORDS_STYLE = """<style>
.jm-words { overflow-wrap: anywhere; white-space: pre-wrap; }
.jm-words.warning { background: #fff6d6; color: #6b4e00; border-radius: .5rem;
  padding: .8rem 1rem; }
.jm-words.caption { color: #555b66; font-size: .88rem; }
</style>"""


def warning(text: str) -> None:
    """Tells what could not be done, and why."""
    _show(text, "warning", "alert")


def caption(text: str) -> None:
    """A remark."""
    _show(text, "caption", "note")


def _show(text: str, look: str, role: str) -> None:
    st.html(f'<div class="jm-words {look}" role="{role}">{escape(text)}</div>')
