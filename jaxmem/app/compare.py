"""The Compare tab: policies on the same requests, with intervals; of a workload or a trace."""

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from jaxmem.app import choices, watch, widgets
from jaxmem.app.asked import DrawnWorkload, Judged, JudgedInBytes, Recorded, Uploaded
from jaxmem.render.web_table import comparison_table

DRAWN, RECORDED, UPLOADED = "a workload", "a recording of the library", "my own trace"
COMPARE_JOB = "compare_job"
JUDGE = "jaxmem.app.judging.judge"
JUDGE_IN_BYTES = "jaxmem.app.judging_bytes.judge_in_bytes"
IN_CELLS, IN_BYTES = "cells", "bytes"
SEQUENCE_CHOICES = (64, 256, 1024)
CELL_CHOICES = (
    0,
    256,
    512,
    1024,
    2048,
    4096,
)  # that a recording is cut into; 0: as many as it needs
FORMAT_NOTES = """A trace is a file of one of these kinds, told by its content, plain, gzip or zstd:

- `op,id,size` – CSV with events in the order of time: `a,17,4096` allocates 4096 bytes as block
  17, `f,17,0` frees it;
- `id,lower,upper,size` – CSV with buffers (MiniMalloc's format): block `id` of `size` bytes is live
  for times `lower` to `upper` - 1;
- logs of `valgrind --trace-malloc=yes`, of glibc's `mtrace`, of `ltrace`, heaptrack, Android's
  `record_allocs` and Firefox's `MALLOC_LOG`; `.rep` files of the malloc lab, CS107's `.script`,
  `Alloc(…)` / `Free(…)` of wee_alloc;
- snapshots of CUDA memory (`torch.cuda.memory._dump_snapshot`), traces of PyTorch's profiler with
  `profile_memory=True`, logs of RAPIDS' RMM, Umpire's replay files;
- what `jaxmem trace import` makes of these, of memray's recordings and of XLA's dumps.

It is read as data; nothing in it is run, and it is kept nowhere."""


def show() -> None:
    """Draws the tab."""
    _begin()
    upload = _controls()
    place = st.container()
    watch.prepare("jaxmem.app.judging")
    if st.session_state.pop("compare_asked", False):
        _start_job(upload)
    busy = watch.busy(COMPARE_JOB)
    place.button("Compare", key="compare_button", type="primary", disabled=busy, on_click=_ask)
    watch.show(COMPARE_JOB, _finished)


def _begin() -> None:
    for key, value in {
        "compare_source": DRAWN,
        "compare_workload": "large-short-lived",
        "compare_cells": 0,
        "compare_sequences": SEQUENCE_CHOICES[1],
        "compare_seed": 0,
        "compare_recording": choices.recordings()[0],
        "compare_grain": 0,
        "compare_slack": 1.1,
        "compare_hindsight": False,
        "compare_unit": IN_CELLS,
        "compare_policies": list(choices.AT_FIRST["compare_policies"]),
        "compare_byte_policies": [
            *choices.OFFERED,
            *choices.AT_FIRST["compare_byte_policies"],
        ][: choices.MOST_CHOSEN["compare_byte_policies"]],
    }.items():
        st.session_state.setdefault(key, value)


def _controls() -> UploadedFile | None:
    """Draws the controls; returns the trace that was uploaded."""
    state = st.session_state
    st.radio("Requests from", [DRAWN, RECORDED, UPLOADED], key="compare_source", horizontal=True)
    upload = None
    if state.compare_source == DRAWN:
        a, b, c, d = st.columns([3, 2, 2, 2])
        a.selectbox("Workload", choices.workloads(), key="compare_workload")
        b.number_input("Memory (cells; 0: its standard size)", 0, 4096, key="compare_cells")
        c.selectbox("Sequences", SEQUENCE_CHOICES, key="compare_sequences")
        d.number_input("Seed", 0, 2**31 - 1, key="compare_seed")
    else:
        a, b, c, d = st.columns([4, 2, 2, 2])
        if state.compare_source == RECORDED:
            a.selectbox("Recording", choices.recordings(), key="compare_recording")
        else:
            most = st.get_option("server.maxUploadSize")
            upload = a.file_uploader(
                f"Trace (at most {most} MB; red: too large)",
                key="compare_upload",
            )
        b.selectbox("Memory in", (IN_CELLS, IN_BYTES), key="compare_unit")
        slack = c if _asked_in_bytes() else d
        if not _asked_in_bytes():
            c.selectbox("Cells", CELL_CHOICES, key="compare_grain",
                        format_func=lambda cells: str(cells or "as many as it needs"))  # fmt: skip
        slack.number_input("Memory / peak live bytes", 0.1, 100.0, step=0.1, key="compare_slack")
        if state.compare_source == UPLOADED:
            with st.expander("What a trace looks like"):
                st.markdown(FORMAT_NOTES)
    if _asked_in_bytes():
        names = choices.byte_player_names()
        widgets.policies("compare_byte_policies", names, choices.byte_title)
        return upload
    widgets.policies("compare_policies")
    st.toggle("Also search with hindsight: how few could have failed? (takes longer)",
              key="compare_hindsight")  # fmt: skip
    return upload


def _asked_in_bytes() -> bool:
    """Tells whether a recording is to be played whole, byte for byte."""
    state = st.session_state
    return state.compare_source != DRAWN and state.compare_unit == IN_BYTES


def _ask() -> None:
    st.session_state.compare_asked = True


def _start_job(upload: UploadedFile | None) -> None:
    """Begins a comparison, or says what is missing."""
    state = st.session_state
    source = state.compare_source
    grain, slack = state.compare_grain or None, state.compare_slack
    if source == DRAWN:
        asked = DrawnWorkload(state.compare_workload, state.compare_cells or None)
    elif source == RECORDED:
        asked = Recorded(state.compare_recording, grain, slack)
    elif upload is not None:
        asked = Uploaded(upload.getvalue(), upload.name, grain, slack)
    else:
        st.warning("No trace yet: choose a file first.")
        return
    chosen = state.compare_byte_policies if _asked_in_bytes() else state.compare_policies
    if not chosen:
        st.warning("No policy is chosen: take at least one.")
        return
    if _asked_in_bytes():
        players = [choices.OFFERED.get(name, name) for name in chosen]
        watch.begin(COMPARE_JOB, "a recording", JUDGE_IN_BYTES, asked, players)
        return
    policies = [state.trained if name == choices.TRAINED else name for name in chosen]
    sequences, seed = int(state.compare_sequences), int(state.compare_seed)
    hindsight = bool(state.compare_hindsight)
    watch.begin(COMPARE_JOB, "a comparison", JUDGE, asked, policies, sequences, seed, hindsight)


def _finished(judged: Judged | JudgedInBytes) -> None:
    if isinstance(judged, JudgedInBytes):
        st.html(judged.table)
        widgets.picture(judged.memory, "address over time around the peak, under each policy")
        _compared_downloads(judged.markdown, judged.json, judged.memory, "memory.png")
        return
    st.html(comparison_table(judged.results))
    widgets.picture(judged.comparison, "failed requests of each policy, and how they are spread")
    widgets.picture(judged.memory, "address over time under the policies that fail least")
    _compared_downloads(judged.markdown, judged.json, judged.comparison, "comparison.png")


def _compared_downloads(markdown: str, json: str, picture: bytes, file: str) -> None:
    a, b, c, _ = st.columns([1, 1, 1, 2])
    a.download_button("Table (Markdown)", markdown, "table.md", key="compare_md_download",
                      on_click="ignore")  # fmt: skip
    b.download_button("Figures (JSON)", json, "results.json", key="compare_json_download",
                      on_click="ignore")  # fmt: skip
    c.download_button("Picture (PNG)", picture, file, key="compare_png_download",
                      on_click="ignore")  # fmt: skip
