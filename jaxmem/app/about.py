"""The About tab: what each rule does, in three sentences and one picture, with sources."""

import streamlit as st

from jaxmem.app import fits
from jaxmem.render import strip
from jaxmem.render.palette import policy_title

INTRODUCTION = """\
A program asks for blocks of memory and frees them again. Where a block goes is up to an
*allocator*; it may not move blocks, and does not know what comes. When the free cells are
scattered in holes that are too short, a request fails although there is enough free memory:
that is *external fragmentation*. Below, five cells are asked for (**2**), after twelve
(**1**) have found the only hole that held them; numbers in holes are their cells, hatched
blocks were there before."""
FIGURE_NOTES = """\
**Figures.** *Failed requests*: % that found no hole. *External fragmentation*: 1 - largest
hole / free cells. *Holes per cell*: number of holes / size of the memory. *Unusable free
share*: of the free cells, those in holes too short for the request. *Gap closed*: how
far from best-fit to the best placements found with all lifetimes known. All policies answer
the same requests, so differences are due to placement alone."""
COLOUR_NOTES = """\
Colours are Okabe and Ito's (2008) and hold apart for the colour-blind; whatever a colour
says is said by a word or a mark too. This page runs on your machine: it loads nothing from
the network, counts nobody, and keeps no file that is uploaded."""


def show() -> None:
    """Draws the tab."""
    st.markdown(INTRODUCTION)
    for rule in fits.TOLD:
        st.markdown(f"##### {policy_title(rule.name)}")
        st.markdown(rule.words)
        drawn = fits.rule_picture(rule)
        if drawn:
            st.html(drawn + strip.axis(fits.PICTURED_CELLS))
        st.caption(rule.sources)
    st.markdown(FIGURE_NOTES)
    st.caption(COLOUR_NOTES)
