"""The Train tab: a small run with its curve; the policy can be played at once."""

import streamlit as st

from jaxmem.app import choices, watch, widgets
from jaxmem.app.asked import DrawnWorkload, Learned
from jaxmem.app.trained import curve_picture
from jaxmem.app.work import Job

TRAIN_JOB = "train_job"
LEARN = "jaxmem.app.learning.learn"
STATE_CHOICES = {
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
    state.setdefault("train_states", next(iter(STATE_CHOICES)))
    state.setdefault("train_seed", 0)
    st.markdown(NOTE)
    a, b, c = st.columns([3, 3, 2])
    a.selectbox("Workload", choices.workloads(), key="train_workload")
    b.selectbox("How long", list(STATE_CHOICES), key="train_states")
    c.number_input("Seed", 0, 2**31 - 1, key="train_seed")
    place = st.container()
    watch.prepare("jaxmem.app.learning")
    if state.pop("train_asked", False):
        asked = DrawnWorkload(state.train_workload)
        states, seed = STATE_CHOICES[state.train_states], int(state.train_seed)
        watch.begin(TRAIN_JOB, "a training run", LEARN, asked, states, seed)
    busy = watch.busy(TRAIN_JOB)
    place.button("Train", key="train_button", type="primary", disabled=busy, on_click=_ask_for_run)
    watch.show(TRAIN_JOB, _show_finished, _curve)


def _ask_for_run() -> None:
    st.session_state.train_asked = True


def _curve(job: Job) -> None:
    """The curve so far; drawn again only where there is a new point."""
    news = list(job.news)  # more may come meanwhile
    learned = job.result if job.done else None
    key = (id(job), len(news), learned is None)
    drawn = widgets.memo("curve", key, lambda: curve_picture(news, learned))
    if drawn is not None:
        widgets.picture(drawn, "failed requests on validation sequences, while learning")


def _show_finished(learned: Learned) -> None:
    st.success(
        f"{learned.steps:,} steps in {learned.seconds:.0f} s. On fresh sequences the policy fails "
        f"{learned.failed:.2f} % of the requests; {choices.title(learned.best)}, the best of the "
        f"fits, {learned.best_failed:.2f} %. It is called “{choices.title(choices.TRAINED)}” in "
        "the other tabs."
    )
    for sentence in learned.sentences:
        st.caption(sentence)
    _curve(st.session_state[TRAIN_JOB])
    st.download_button("Download the policy", learned.policy, "policy.safetensors",
                       on_click="ignore", key="train_policy_download")  # fmt: skip
