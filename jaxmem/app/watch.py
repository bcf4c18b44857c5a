"""Work that is going on, as the page shows it: how far it is, Stop, and what comes of it."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from jaxmem.app import widgets, words
from jaxmem.app.pool import POOL
from jaxmem.app.work import Job

POLL = 1.0  # seconds between two looks: each is a run of Streamlit's


def prepare(*modules: str) -> None:
    """Has a process get ready while the visitor still chooses: JAX takes its time to import."""
    POOL.prepare(modules)


def begin(key: str, what: str, work: str, *arguments: object) -> None:
    """Begins work, kept under `key`, that ends when this visitor goes.

    Args:
        what: it is, for other visitors who wait.
        work: as a `Job` takes it.
    """
    st.session_state[key] = Job(what, work, *arguments, present=_presence())


def busy(key: str) -> bool:
    """Tells whether the work kept under `key` is going on."""
    job: Job | None = st.session_state.get(key)
    return job is not None and not job.done


def _presence() -> Callable[[], bool]:
    """Makes a test of whether the visitor whose page is being drawn is still connected."""
    context = get_script_run_ctx()
    if context is None or not Runtime.exists():
        return lambda: True
    runtime, session = Runtime.instance(), context.session_id
    return lambda: bool(runtime.is_active_session(session))


def show(
    key: str, finished: Callable[[Any], None], going: Callable[[Job], None] | None = None
) -> None:
    """Shows how far the job kept under `key` is, with a button that stops it, then its result.

    Args:
        finished: draws the result.
        going: draws what there is so far, while it goes on.
    """
    job: Job | None = st.session_state.get(key)
    if job is None:
        return
    # A fragment that redraws itself; when the work is done, all is drawn once more, at rest.
    drawn = widgets.guarded(lambda: _draw_job(key, finished, going))
    st.fragment(drawn, run_every=None if job.done else POLL, key=f"{key}_shown")()


def _draw_job(
    key: str, finished: Callable[[Any], None], going: Callable[[Job], None] | None
) -> None:
    job: Job = st.session_state[key]
    if not job.done:
        words.caption("stopping" if job.stopping else job.doing)
        st.progress(0.0 if job.share is None else min(max(job.share, 0.0), 1.0))
        st.button("Stop", key=f"{key}_stop_button", on_click=job.stop, disabled=job.stopping)
        st.session_state[f"{key}_seen"] = True
        if going is not None:
            going(job)
        return
    if st.session_state.pop(f"{key}_seen", False):
        st.rerun(scope="app")
    if job.refusal:
        words.warning(job.refusal)
    elif job.fault:
        st.error(f"This did not work ({job.fault}); the page goes on.")
    elif job.result is None:
        st.info("Stopped.")
    else:
        finished(job.result)
