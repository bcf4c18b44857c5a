"""The study of families of runs, of two made-up ones."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from program_runs import mixed_run

from jaxmem.recordings.class_rule import LONG, SMALL, all_rules
from jaxmem.settings.recordings import RuleSearchConfig

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FAMILIES = {"one": 10, "two": 20}  # and the seeds of its runs


@pytest.fixture
def study(monkeypatch):
    """The script, on families whose runs are made up."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import runs_study

    few = [rule for rule in all_rules() if rule.long == LONG[0] and rule.parts == SMALL[0]]
    monkeypatch.setattr("jaxmem.recordings.rule_search.all_rules", lambda: few[::2])
    import runs_features

    monkeypatch.setattr(runs_features, "all_rules", lambda: few[::2])
    for name in ("sizes_in_order", "own_size", "no_sizes"):
        monkeypatch.delitem(runs_features.FORETOLD, name)
    monkeypatch.setattr(runs_study, "TWO_ENDED", runs_study.TWO_ENDED[:8])
    quick = RuleSearchConfig(exceptions=1, candidates=8, branched=16, semifinalists=16, finalists=4)
    for script in (runs_study, runs_features):
        monkeypatch.setattr(script, "RuleSearchConfig", lambda: quick)
    monkeypatch.setattr(runs_study, "TORCH", ("one",))
    monkeypatch.setattr(runs_study, "MALLOC", ("two",))
    monkeypatch.setattr(runs_study, "KINDS", {"tensors": ("one",), "blocks": ("two",)})
    monkeypatch.setattr(runs_study, "family_names", lambda: tuple(FAMILIES))
    monkeypatch.setattr(
        runs_study, "family", lambda name: [mixed_run(FAMILIES[name] + of) for of in range(6)]
    )
    runs_study.runs_of.cache_clear()
    yield runs_study
    runs_study.runs_of.cache_clear()


def played(study, folder: Path, monkeypatch, *words: str) -> dict:
    monkeypatch.setattr("sys.argv", ["runs_study.py", f"out={folder}", *words])
    study.main()
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_each_family_is_played_once_and_a_second_start_goes_on(study, tmp_path, monkeypatch):
    words = ("splits=[many]", "families=[one,two]")
    results = played(study, tmp_path, monkeypatch, *words)
    rows = results["families"]["many"]
    assert list(rows) == ["one", "two"]
    for row in (rows[name]["6"] for name in FAMILIES):
        assert set(row) == {*study.TITLES, "own_site", "no_lifetimes", "hint_fit"}
        assert row["learned"] < 1.05 < 1.2 < row["best"]
        assert row["wrong"] == row["learned"]  # the other family is of the same program
        assert row["offline"] == min(row[name] for name in study.TITLES)
        assert row["own_site"] < 1.05 < row["no_lifetimes"]  # only lifetimes tell blocks apart
        assert row["two_ended_tuned"] >= row["learned"]
    summary = results["overall"]["many"]["tensors"]
    assert summary["best"]["mean"] == pytest.approx(rows["one"]["6"]["best"])
    assert summary["learned"]["removed"] > 0.9
    assert summary["best"]["beside_best"] == summary["best"]["worst_beside_best"] == 1
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| one |" in table
    assert "| sizes, no lifetimes |" in table
    rule = results["beside_the_rule"]["many"]["one"]["exceptions"]
    assert rule["removed"] == pytest.approx(
        (rows["one"]["6"]["class_rule"] - rows["one"]["6"]["exceptions"])
        / max(rows["one"]["6"]["class_rule"] - 1, 1e-9)
    )
    assert "## `many`: learned from 4, chosen by 1, tested on 1" in table
    assert (tmp_path / "programs.png").stat().st_size > 1_000
    monkeypatch.setattr(study, "units_needed", None)  # nothing is played again
    monkeypatch.setattr(study, "learn_from_runs", None)
    again = played(study, tmp_path, monkeypatch, *words)
    assert again["families"] == results["families"]


def test_intervals_are_over_families_and_their_runs(study):
    random = np.random.default_rng(0)
    rows = [
        [dict.fromkeys(study.TITLES, 1.0) | {"best": 1.2 + 0.1 * random.random(), "learned": 1.1}
         for _ in range(4)]
        for _ in range(9)
    ]  # fmt: skip
    found = study.summaries(rows)
    best = [[row["best"] for row in of] for of in rows]
    mean = np.exp(np.log(best).mean())
    assert found["best"].mean == pytest.approx(mean)
    assert found["best"].low < mean < found["best"].high
    assert found["learned"].low == pytest.approx(found["learned"].high)
    assert found["learned"].removed == pytest.approx((mean - 1.1) / (mean - 1))
    assert found["learned"].removed_low < found["learned"].removed < found["learned"].removed_high
    assert found["learned"].worst_beside_best == pytest.approx(1.1 / np.min(best))
    assert found["first"].removed == pytest.approx(1)


def test_what_another_program_needs_may_not_be_known_yet(study):
    import runs_tables

    row = dict.fromkeys(study.TITLES, 1.5)
    del row["wrong"]
    assert "wrong" not in runs_tables.known([row, dict.fromkeys(study.TITLES, 1.5)])
    assert "wrong" not in study.summaries([[row]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["splits=[most]"], "splits: most; some of few, some, many"),
        (["splits=[]"], "splits: none; some of"),
        (["families=[three]"], "families: three; some of one, two"),
        (["seed=3"], "seed=3: "),
    ],
)
def test_unknown_options_are_refused_in_a_line(study, words, said, monkeypatch):
    monkeypatch.setattr("sys.argv", ["runs_study.py", *words])
    with pytest.raises(SystemExit, match=re.escape(said)) as raised:
        study.main()
    assert "\n" not in str(raised.value)
