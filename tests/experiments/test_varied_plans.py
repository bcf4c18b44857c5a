"""Benchmarks of which sizes vary: what the table makes of a tiny file."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from jaxmem.recordings.class_rule import BEST_FIT_RULE

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: [BEST_FIT_RULE])
    yield import_module("varied_plans")
    sys.modules.pop("varied_plans", None)


def run(study, monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["varied_plans.py", *words])
    study.main()


def test_a_file_is_learned_from_and_its_variations_played(study, monkeypatch, tmp_path):
    random = np.random.default_rng(1)
    born, lives, size = random.integers(1, [[60], [9], [999]], (3, 70))
    rows = [
        f"{at},{b},{b + n},{of}"
        for at, (b, n, of) in enumerate(zip(born, lives, size, strict=True))
    ]
    file = tmp_path / "challenging_A.100.csv"
    file.write_text("\n".join(["id,lower,upper,size", *rows]) + "\n", encoding="utf-8")
    base = study.profile_run(file)
    assert len(set(base.site_key.tolist())) == base.requests == 70
    other = study.variation(base, 1, 0.03)
    assert 0 < np.abs(np.log(other.size[base.size > 50] / base.size[base.size > 50])).max() < 0.15
    np.testing.assert_array_equal(other.site_key, base.site_key)
    run(study, monkeypatch, f"data={tmp_path}", "out=varied", "tests=1")
    results = json.loads((tmp_path / "varied" / "results.json").read_text(encoding="utf-8"))
    (row,) = results["rows"]
    assert results["mean"] == pytest.approx(row["needed"])
    assert row["needed"]["class rule"] == row["needed"]["best-fit"]
    assert row["chosen"] == "plan"
    assert row["needed"]["chosen"] == row["needed"]["plan"] < row["needed"]["best-fit"]
    table = (tmp_path / "varied" / "table.md").read_text(encoding="utf-8")
    assert table.startswith("# Arena needed / peak live, sizes varied by 3%")
    assert f"| challenging_A | 70 | {row['needed']['best-fit']:.4f} |" in table


@pytest.mark.parametrize(
    ("words", "said"),
    [(["data=nowhere"], "there is no challenging_"), (["test=1"], "Key 'test' not in")],
)
def test_what_cannot_be_run_is_told(study, monkeypatch, words, said):
    with pytest.raises(SystemExit, match=said):
        run(study, monkeypatch, *words)
