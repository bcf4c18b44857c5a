"""Recordings in bytes on the page, with policies that the owner of the server has named."""

import json
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit")

from program_runs import mixed_run, write_learned
from streamlit.testing.v1 import AppTest

import jaxmem.app
from jaxmem.app import choices
from jaxmem.app.asked import Uploaded
from jaxmem.app.judging_bytes import judge_in_bytes
from jaxmem.commands.demo import offered
from jaxmem.configuration import UsageError
from jaxmem.recordings.store import write_store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:streamlit.*")


class Listener:
    """Hears how far the work is."""

    def __init__(self):
        self.heard: list[str] = []

    def report(self, doing, share=None, *, keeps=False, within=None):
        self.heard.append(doing)


@pytest.fixture
def mine(tmp_path) -> str:
    write_learned(tmp_path / "mine")
    return str(tmp_path / "mine")


def test_an_upload_is_played_in_bytes_by_what_the_owner_has_learned(mine, tmp_path):
    write_store(tmp_path / "4.npz", mixed_run(4))
    data = (tmp_path / "4.npz").read_bytes()
    listener = Listener()
    judged = judge_in_bytes(listener, Uploaded(data, "4.npz", None, 1.1), [mine, "best"])
    found = json.loads(judged.json)
    assert list(found["played"]) == ["mine", "best"]
    needed = [row["arena_needed"] / found["peak_live"] for row in found["played"].values()]
    assert needed[0] < 1.05 < needed[1]
    assert f'<td class="best" data-of="arena needed / peak live">{needed[0]:.4f}' in judged.table
    assert f"| best-fit | {needed[1]:.4f} |" in judged.markdown
    assert judged.memory.startswith(b"\x89PNG")
    assert any(doing.startswith("mine: ") for doing in listener.heard)


def test_the_page_offers_what_the_owner_has_named_for_recordings_in_bytes(mine, monkeypatch):
    monkeypatch.setattr(choices, "OFFERED", offered([mine]))
    app = AppTest.from_file(Path(jaxmem.app.__file__).parent / "page.py", default_timeout=120)
    for key, value in {
        "tab": "Compare", "compare_source": "a recording of the library", "compare_unit": "bytes",
    }.items():  # fmt: skip
        app.session_state[key] = value
    app.run()
    assert not app.exception
    field = app.multiselect(key="compare_byte_policies")
    assert field.options[0] == "mine (learned from runs)"
    assert field.value[0] == "mine"
    app.selectbox(key="compare_unit").set_value("cells").run()
    assert "mine (learned from runs)" not in app.multiselect(key="compare_policies").options


def test_what_the_owner_names_must_be_a_policy_that_plays_in_bytes(mine, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04pickle.")
    for names, said in (
        ([str(bad)], "not a readable policy file"),
        (["best"], "best is on the page already"),
        (["learned"], "learned is on the page already"),
        (["nowhere"], "unknown policy 'nowhere'"),
        ([mine, mine], "name each once"),
    ):
        with pytest.raises(UsageError, match=said):
            offered(names)
