"""The Train tab: a small run with its curve; the policy can be played at once."""

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from jaxmem.app import choices, looks
from jaxmem.app.typed import Unclear
from jaxmem.app.work import Job

STATES = {
    "50,000 states: a look": 50_000,
    "200,000 states: a fair policy": 200_000,
    "600,000 states: a good one": 600_000,
}
NOTE = """A network learns from *branching*: in states that come up in play, every placement is
tried and played on against the same requests, and the network learns what each is worth beside the
others. Here it is a small run; `jaxmem train` on the command line does the rest."""


def show() -> None:
    """Draws the tab."""
    state = st.session_state
    state.setdefault("train_workload", "large-short-lived")
    state.setdefault("train_states", next(iter(STATES)))
    state.setdefault("train_seed", 0)
    st.markdown(NOTE)
    a, b, c = st.columns([3, 3, 2])
    a.selectbox("Workload", choices.workloads(), key="train_workload")
    b.selectbox("How long", list(STATES), key="train_states")
    c.number_input("Seed", 0, 2**31 - 1, key="train_seed")
    place = st.container()
    if state.pop("train_asked", False):
        _start()
    job: Job | None = state.get("train_job")
    busy = job is not None and not job.done
    place.button("Train", key="train_button", type="primary", disabled=busy, on_click=_ask)
    looks.watch("train_job", _finished, _curve)


def _ask() -> None:
    st.session_state.train_asked = True


def _start() -> None:
    state = st.session_state
    with st.spinner("Waking JAX …"):
        from jaxmem.app import learning  # JAX is imported here, when it is first needed

        try:
            task = learning.task_of(state.train_workload, None)
        except Unclear as unclear:
            st.warning(str(unclear))
            return
    states, seed = STATES[state.train_states], int(state.train_seed)
    watching = learning.Watching()
    state.train_watching = watching
    state.train_job = Job(lambda job: learning.learn(job, watching, task, states, seed))


def _curve() -> None:
    """The curve so far; drawn again only where there is a new point."""
    from jaxmem.app import learning

    watching = st.session_state.train_watching
    if not watching.references:
        return
    points = len(watching.curve)
    drawn = looks.memo("curve", (id(watching), points), lambda: learning.curve_picture(watching))
    looks.picture(drawn, "failed requests on validation sequences, while learning")


def _finished(learned: Any) -> None:
    from jaxmem.app import learning

    state, result = st.session_state, learned.result
    if state.get("trained_from") is not result:
        state.trained_from, state.trained = result, learning.player_of(result)
        state.trained_number = state.get("trained_number", 0) + 1
        for key in ("play_policies", "race_policies", "compare_policies"):
            if key in state and choices.TRAINED not in state[key]:
                state[key] = [choices.TRAINED, *state[key]][: choices.MOST[key]]
    st.success(
        f"{result.steps:,} steps in {result.seconds:.0f} s. On fresh sequences the policy fails "
        f"{learned.failed:.2f} % of the requests; {choices.title(learned.best)}, the best of the "
        f"fits, {learned.best_failed:.2f} %. It is called “{choices.title(choices.TRAINED)}” in "
        "the other tabs."
    )
    for sentence in filter(None, (result.guide, result.note)):
        st.caption(sentence)
    _curve()
    with tempfile.TemporaryDirectory() as folder:
        data = looks.memo("file", id(result), lambda: learning.policy_file(result, Path(folder)))
    st.download_button("Download the policy", data, "policy.safetensors", on_click="ignore",
                       key="train_policy_download")  # fmt: skip
