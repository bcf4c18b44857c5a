"""What was trained on this page: its curve, and the policy as the other tabs have it."""

import threading
from collections.abc import Sequence
from io import BytesIO

import streamlit as st

from jaxmem.app import choices
from jaxmem.app.asked import Begun, Learned, Point

# Pictures are drawn one after another: matplotlib's settings are those of the whole process.
_DRAWING = threading.Lock()


def adopt() -> None:
    """Gives the other tabs what has been trained meanwhile, whichever of them is open.

    To be called before any of them is drawn: their fields cannot be changed afterwards.
    """
    state = st.session_state
    job = state.get("train_job")
    learned: Learned | None = job.result if job is not None and job.done else None
    if learned is None or state.get("trained_from") is learned:
        return
    state.trained_from, state.trained = learned, learned.policy
    state.trained_number = state.get("trained_number", 0) + 1
    for key, most in choices.MOST_CHOSEN.items():
        if key == "compare_byte_policies":
            continue  # what is trained here plays in cells
        chosen = state.get(key, choices.AT_FIRST[key])
        if choices.TRAINED not in chosen:
            state[key] = [choices.TRAINED, *chosen][:most]


def curve_picture(news: Sequence[object], learned: Learned | None = None) -> bytes | None:
    """The curve so far beside the fits, PNG; None while there are no fits yet.

    Args:
        news: what a run has told.
        learned: what it has come to, once it has.
    """
    begun = next((each for each in news if isinstance(each, Begun)), None)
    if begun is None:
        return None
    from jaxmem.render import draw_learning_curve  # and matplotlib with it

    points = [each for each in news if isinstance(each, Point)]
    picture = BytesIO()
    with _DRAWING:
        draw_learning_curve(
            picture,
            [point.steps for point in points],
            [point.failed for point in points],
            begun.references,
            start=learned.start if learned else None,
            kept=learned.kept_at if learned else None,
            ylabel="failed requests, validation (%)",
        )
    return picture.getvalue()
