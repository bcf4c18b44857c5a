"""Benchmarks that are planned one after the other: what the table makes of two tiny files."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.chdir(tmp_path)
    yield import_module("plans")
    sys.modules.pop("plans", None)


def run(study, monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["plans.py", *words])
    study.main()


def test_each_file_has_a_folder_and_a_row(study, monkeypatch, tmp_path):
    rows = ("a,0,2,40\nb,1,3,60\nc,2,4,40", "a,0,5,8\nb,1,2,8")
    for name, text in zip("AB", rows, strict=True):
        file = tmp_path / f"challenging_{name}.100.csv"
        file.write_text(f"id,lower,upper,size\n{text}\n", encoding="utf-8")
    run(study, monkeypatch, f"data={tmp_path}", "out=plans", "seconds=20")
    table = (tmp_path / "plans" / "table.md").read_text(encoding="utf-8")
    assert "| challenging_A | 3 | 100 | 100 | 1.0000 | yes |" in table
    assert "| challenging_B | 2 | 16 | 16 | 1.0000 | yes |" in table
    assert "peak live: 1.0000, with at most 20 seconds" in table
    assert (tmp_path / "plans" / "challenging_B" / "offsets.csv").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["data=nowhere"], "there is no challenging_"), (["second=1"], "Key 'second' not in")],
)
def test_what_cannot_be_run_is_told(study, monkeypatch, words, said):
    with pytest.raises(SystemExit, match=said):
        run(study, monkeypatch, *words)
