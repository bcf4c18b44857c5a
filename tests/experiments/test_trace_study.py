"""The study of recordings, of three small ones."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from program_runs import write_learned

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording
from jaxmem.recordings.headroom import Headroom
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.packing import Packing
from jaxmem.recordings.policy_file import titled_policies
from jaxmem.recordings.scorer_file import save_scorer

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def recording(name: str) -> Recording:
    """Forty blocks of a few sizes that live for a while."""
    rng = np.random.default_rng(len(name))
    lifetime = np.where(rng.random(40) < 0.1, NEVER, rng.integers(1, 12, 40))
    return Recording(name, 16 * rng.integers(1, 9, 40), lifetime)


def headroom(events, policies, report):
    """Figures in place of true ones: the first policy needs 10 units more, the next 11."""
    report("playing")
    peak = events.peak_live
    titles = titled_policies(policies)
    needed = {name: peak + 10 + number for number, name in enumerate(titles)}
    failed = {name: {1.02: 0.5} for name in titles}
    return Headroom(
        peak_live=peak,
        unbounded={"first": peak},
        bounded=needed,
        failed=failed,
        failed_bytes=failed,
        offline=Packing(np.zeros(len(events.units), np.int64), peak, len(events.units), "stacks"),
        threshold=1,
        most_holes=3,
        by_best_fit={},
    )


@pytest.fixture
def study(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import trace_study

    return trace_study


@pytest.fixture
def played(study, tmp_path, monkeypatch):
    """The study of a program of PyTorch and two others, run in `tmp_path`."""
    known = {name: recording(name) for name in ("torch_cpu_a", "python_b", "c")}
    file = tmp_path / "unseen.safetensors"
    save_scorer(file, HoleScorer(np.zeros(len(HOLE_FEATURES)), np.zeros(len(PRIOR))), {})
    monkeypatch.setattr(study, "headroom", headroom)
    monkeypatch.setattr(study, "recordings", lambda: iter([
        study.Taken(name, of, 16, str(file)) for name, of in known.items()
    ]))  # fmt: skip
    study.main([f"out={tmp_path / 'study'}"])
    return tmp_path / "study"


def test_every_recording_has_a_row_with_all_policies(study, played):
    results = json.loads((played / "results.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in results["recordings"]}
    assert set(rows) == {"torch_cpu_a", "python_b", "c"}
    for row in rows.values():
        assert set(row["bounded"]) == {*study.COLUMNS}
        assert all(
            ratio >= row["bounded"]["offline"] - 1e-9 >= 0 for ratio in row["bounded"].values()
        )
    assert [row["family"] for row in results["recordings"]] == [
        study.FAMILIES["torch_cpu_"], study.FAMILIES["python_"], study.FAMILIES[""],
    ]  # fmt: skip
    table = (played / "table.md").read_text(encoding="utf-8")
    assert "| a | 40 |" in table
    assert "**malloc of programs**" in table
    assert (played / "programs.png").exists()


def test_a_second_start_plays_nothing_again(study, played, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("played again")

    monkeypatch.setattr(study, "headroom", never)
    study.main([f"out={played}"])


def test_a_policy_learned_from_runs_plays_under_the_name_of_its_folder(study, played, tmp_path):
    write_learned(tmp_path / "mine")
    words = [f"out={played}", f"policies=[{tmp_path / 'mine'}]", "recordings=torch"]
    study.main(words)
    results = json.loads((played / "results.json").read_text(encoding="utf-8"))
    (row,) = results["recordings"]
    assert list(row["bounded"]) == [*study.COLUMNS[:-1], "mine", "offline"]
    table = (played / "table.md").read_text(encoding="utf-8")
    assert "| learned | mine | offline |" in table
    assert shlex.split(results["command"])[2:] == words
    with pytest.raises(SystemExit, match="options: policies=\\[\\], recordings=, out="):
        study.main(["policy=x"])


def test_a_mean_of_a_family_is_geometric(study):
    rows = [
        {"family": "f", "bounded": dict.fromkeys(study.COLUMNS, value)} for value in (1.0, 1.21)
    ]
    assert study.means(rows)["f"]["best"] == pytest.approx(1.1)
