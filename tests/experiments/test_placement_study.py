"""The placement study: what is finished is kept, and the report is of what there is."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STORED = EXPERIMENTS / "results" / "placement_study" / "members"


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(EXPERIMENTS))
        import placement_study

        yield placement_study
    for name in ("placement_study", "placement_report", "placement_tables"):
        sys.modules.pop(name, None)


def configuration(folder):
    """The configuration of the study, with the stored members of three rows in its folder."""
    (folder / "members").mkdir()
    for row in ("comb", "size-classes", "mixed"):
        for kind in ("0", "rules", "bounds"):
            for file in STORED.glob(f"{row}-{kind}.*"):
                shutil.copy(file, folder / "members")
    found = OmegaConf.load(EXPERIMENTS / "placement_study.yaml")
    found.out = str(folder)
    for row in found.rows.values():
        row.seeds = 1
    return found


@pytest.fixture
def config(tmp_path):
    return configuration(tmp_path)


@pytest.fixture(scope="module")
def reported(study, tmp_path_factory):
    """The folder with the report of those members."""
    from placement_report import write_report

    out = tmp_path_factory.mktemp("study")
    write_report(out, OmegaConf.to_container(configuration(out)), Console(quiet=True))
    return out


def run(study, config):
    study.main.__wrapped__(config)


@pytest.mark.slow
def test_finished_members_are_not_trained_again(study, config, monkeypatch):
    def trained(*_, **__):
        raise AssertionError("a finished member was trained again")

    monkeypatch.setattr(study, "_train_member", trained)
    config.only = ["comb", "size-classes"]
    run(study, config)
    assert "size-classes (108)" in (Path(config.out) / "table.md").read_text(encoding="utf-8")
    config.only = ["robson"]
    with pytest.raises(AssertionError, match="trained again"):
        run(study, config)


def test_a_row_that_is_not_known_is_named(study, config):
    config.only = ["combs"]
    with pytest.raises(SystemExit, match=r"only=\['combs'\]: no such rows; known: large-short"):
        run(study, config)


def test_the_report_says_what_the_members_did(reported):
    out = reported
    rows = json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]
    assert set(rows) == {"comb", "size-classes", "mixed"}
    with np.load(out / "members" / "size-classes-0.npz") as member:
        failed = float(member["failed_requests"].mean())
    with np.load(out / "members" / "size-classes-rules.npz") as rules:
        best = float(rules["best/failed_requests"].mean())
    row = rows["size-classes"]
    assert row["learned"]["failed_requests"]["mean"] == pytest.approx(failed, abs=1e-5)
    assert row["best_of_four_fits"]["failed_requests"] == pytest.approx(best, abs=1e-5)
    assert row["best_of_four_fits"]["difference"]["mean"] == pytest.approx(failed - best, abs=1e-5)
    for picture in ("learning_curves.png", "profile.png"):
        assert (out / picture).stat().st_size > 1_000


@pytest.mark.slow
def test_what_ends_at_a_failure_is_reported_by_its_return(reported):
    out = reported
    row = json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]["mixed"]
    with np.load(out / "members" / "mixed-0.npz") as member:
        learned = member["return"].astype(float)
    with np.load(out / "members" / "mixed-rules.npz") as rules:
        played = {key: rules[key].astype(float) for key in rules.files}
    assert set(row["learned"]) == {"return"}
    assert row["learned"]["return"]["mean"] == pytest.approx(learned.mean(), abs=1e-5)
    fits = [played[f"{fit}/return"].mean() for fit in ("first", "second", "best", "worst")]
    assert row["best_of_four_fits"]["return"] == pytest.approx(max(fits), abs=1e-5)
    gain = learned - played["best/return"]
    assert row["best_of_four_fits"]["difference"]["mean"] == pytest.approx(gain.mean(), abs=1e-5)
    assert (learned <= played["compacting/return"] + 1e-5).all()
    share = f"| {100 * learned.mean() / played['compacting/return'].mean():.1f} |"
    before, after = (out / "table.md").read_text(encoding="utf-8").split("## Until the first")
    assert "| mixed (256) |" not in before
    assert share in next(line for line in after.splitlines() if line.startswith("| mixed (256)"))


def test_a_row_that_ends_at_a_failure_stands_alone_too(study, config):
    from placement_report import write_report

    out = Path(config.out)
    for row in ("comb", "size-classes"):
        for file in (out / "members").glob(f"{row}-*"):
            file.unlink()
    write_report(out, OmegaConf.to_container(config), Console(quiet=True))
    assert "| mixed (256) |" in (out / "table.md").read_text(encoding="utf-8")
    assert not (out / "profile.png").exists()


def test_without_members_there_is_nothing_to_report(study, config, capsys):
    from placement_report import write_report

    shutil.rmtree(Path(config.out) / "members")
    write_report(Path(config.out), OmegaConf.to_container(config), Console())
    assert "no member is finished yet" in capsys.readouterr().out


def test_the_picture_shows_a_sequence_of_the_median_difference(study):
    from placement_report import typical

    best = {"failed_requests": np.array([9.0, 4.0, 6.0, 5.0, 7.0])}
    learned = {"failed_requests": np.array([1.0, 3.5, 4.0, 3.0, 7.0])}
    # Differences -8, -0.5, -2, -2, 0: the median, -2, twice; best-fit's median is 6.
    assert typical(learned, best) == 2
