"""The page itself: a Streamlit script, run anew for every visitor and every full redraw.

Only the open tab is computed. Streamlit puts this folder in front of the path, so the tabs are
imported by their full names, and late: the first of them is painted before JAX is awake.
"""

from functools import partial
from importlib import import_module

import streamlit as st

from jaxmem.app import trained, widgets

TABS = ("Play", "Race", "Compare", "Train", "About")
# Streamlit forgets the widgets of a closed tab, unless their values are set again.
KEPT = ("play_", "race_", "compare_", "train_")
BUTTONS = ("_button", "_upload", "_download")


def main() -> None:
    """Draws the page."""
    st.set_page_config(page_title="jaxmem: where should a block go?", layout="wide")
    for key in list(st.session_state.keys()):
        name = str(key)
        if name.startswith(KEPT) and not name.endswith(BUTTONS):
            st.session_state[key] = st.session_state[key]
    widgets.add_styles()
    trained.adopt()
    st.markdown("#### jaxmem: where in memory should a block go?")
    tabs = st.tabs(TABS, key="tab", on_change="rerun")
    for name, tab in zip(TABS, tabs, strict=True):
        if tab.open:
            with tab:
                widgets.guarded(partial(_draw_tab, name))()


def _draw_tab(name: str) -> None:
    import_module(f"jaxmem.app.{name.lower()}").show()


if __name__ == "__main__":
    main()
