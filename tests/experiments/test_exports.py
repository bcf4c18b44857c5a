"""Exported policies that are played and timed: what the table makes of short recordings."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.chdir(tmp_path)
    yield import_module("exports")
    sys.modules.pop("exports", None)


def test_every_policy_has_a_row(study, monkeypatch, tmp_path):
    short = study.load_library("xla_cpu_jax_convnet_infer")
    policy = study.ProfiledPolicy(study.profile_of([short]), study.RULE)
    monkeypatch.setattr(study, "_library", lambda: [short])
    monkeypatch.setattr(
        study, "_families", lambda: [study.Play(study.Exported("x", policy), short)]
    )
    monkeypatch.setattr(sys, "argv", ["exports.py", "out=out", "placements=1", "rounds=1"])
    study.main()
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["policies"]
    assert [row["policy"] for row in rows] == ["best-fit", "class rule", "hole scorer"]
    for row in rows:
        assert (row["placements"], row["ties"], row["differing"]) == (68, 0, 0)
        assert min(row["ns_to_choose"][holes] for holes in ("4", "64")) > 0
    assert "| best-fit | 68 | 100.000 % | 0 | 0 |" in (tmp_path / "out" / "table.md").read_text()
