"""`jaxmem trace info`: what it leaves, what it says, and what it refuses."""

import json
import pickle

import jax.numpy as jnp
import pytest
from PIL import Image

from jaxmem.cli import main
from jaxmem.commands import trace_info
from jaxmem.recordings import offline_packing, scorer_file
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.scorer_file import SCORERS, load_scorer, save_scorer
from jaxmem.rules import BOUNDED, ORDERED

KEYS = {
    *("command", "trace", "events", "requests", "alignment", "peak_live", "peak_live_asked"),
    *("live_blocks", "never_freed", "rank_correlation", "headroom", "factors", "failed_requests"),
    *("failed_bytes", "high_water_mark", "arena_needed", "threshold", "conventions"),
    *("sizes", "live", "versions", "device", "stacked", "most_holes", "offline_method"),
    *("lower_bound", "by_best_fit", "notes", "verdict", "call_sites", "explained"),
}
SHIPPED = scorer_file._SHIPPED
BUFFERS = "id,lower,upper,size\n" + "\n".join(
    f"{number},{number},{number + 2 + number % 5},{1 + number % 7}" for number in range(60)
)


def first_fit_of_scores() -> HoleScorer:
    """Weights that take the lowest end, as first fit does."""
    weights = jnp.zeros(len(HOLE_FEATURES)).at[HOLE_FEATURES.index("lowest")].set(1.0)
    return HoleScorer(weights, jnp.zeros(len(PRIOR)))


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """A file with a small recording, in a folder that commands are run in.

    It is soon packed offline, and played by a stand-in for the learned policy of the package.
    """
    monkeypatch.chdir(tmp_path)
    package = tmp_path.with_name(f"{tmp_path.name}-package")
    package.mkdir()
    save_scorer(package / "learned.safetensors", first_fit_of_scores(), {})
    monkeypatch.setattr(scorer_file, "_SHIPPED", package)
    monkeypatch.setattr(scorer_file, "SCORERS", ("learned",))
    monkeypatch.setattr(offline_packing, "PLACED", 2000)
    monkeypatch.setattr(offline_packing, "rounds_for", lambda blocks: 0)
    file = tmp_path / "small.csv"
    file.write_text(f"{BUFFERS}\n", encoding="utf-8")
    return file


def test_a_recording_leaves_figures_a_table_and_one_picture(trace, tmp_path, capsys):
    assert main(["trace", "info", "small.csv", "alignment=1", "out=info"]) == 0
    printed = capsys.readouterr().out
    made = {file.name for file in (tmp_path / "info").iterdir()}
    assert made == {"config.yaml", "results.json", "table.md", "info.png", "offsets.csv"}
    results = json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))
    assert set(results) >= KEYS
    assert (results["events"], results["requests"]) == (120, 60)
    headroom = results["headroom"]
    # By default every rule that plays in bytes; those that need an upper end have no such figure.
    assert list(headroom["unbounded"]) == [name for name in ORDERED if name not in BOUNDED]
    assert list(headroom["bounded"]) == [*ORDERED, "learned"]
    assert headroom["bounded"]["first"] == headroom["unbounded"]["first"] >= 1
    assert list(results["failed_requests"]["best"]) == ["1.02", "1.05", "1.1", "1.2"]
    assert set(results["conventions"]) >= {"unbounded", "bounded"}
    assert sum(row["requests"] for row in results["sizes"]) == 60
    assert max(results["live"]["bytes"]) == results["peak_live"]
    table = (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
    for text in ("first-fit", "tuned two-ended", "offline", f"{headroom['bounded']['best']:.4f}"):
        assert text in table
        assert text in printed
    # The command ends with the verdict, which the table has too.
    assert " ".join(printed.split()).endswith(results["verdict"])
    assert results["verdict"] in table
    with Image.open(tmp_path / "info" / "info.png") as picture:
        assert picture.width > picture.height > 100


def with_sites(path, names: str) -> None:
    """Writes a recording: blocks of the first call site die at once, those of the second never."""
    lines = ["op,id,size,site"]
    for number in range(40):
        lines.append(f"a,{number},{16 + number % 3},{names[number % 2]}")
        lines += [] if number % 2 else [f"f,{number},,"]
    path.write_text("\n".join(lines), encoding="utf-8")


def test_it_says_what_call_sites_and_sizes_foretell(trace, tmp_path, capsys):
    with_sites(trace, "pq")
    results = figures_of(tmp_path, "best")
    found = results["explained"]
    assert (results["call_sites"], found["known"]) == (2, 1.0)
    # Which of two call sites it is decides nearly all, and the size nothing.
    assert found["site"] > 0.9 > 0.1 > found["size"]
    assert found["both"] > 0.9
    row = [f"{found[by]:.2f}" for by in ("size", "site", "both")]
    page = (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
    assert f"| by the other requests | {' | '.join(row)} |" in page
    printed = " ".join(capsys.readouterr().out.split())
    assert f"by the other requests {' '.join(row)}" in printed
    assert "2 call sites, of 100.0 % of the requests." in page
    assert "2 call sites, of 100.0 % of the requests." in printed


def test_an_earlier_run_foretells_a_recording(trace, tmp_path, capsys):
    with_sites(trace, "pq")
    with_sites(tmp_path / "past.csv", "qp")  # the call sites have changed roles
    with_sites(tmp_path / "same.csv", "pz")
    alone = figures_of(tmp_path, "best")
    told = {}
    for name in ("past", "same"):
        capsys.readouterr()
        command = ["trace", "info", f"{name}.csv", "small.csv", "alignment=1", "policies=[best]"]
        assert main([*command, "out=info", "overwrite=true"]) == 0
        results = json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))
        told[name] = results.pop("earlier")
        # All else is said of the recording, as without the other.
        changing = {"command", "versions", "device"}
        assert {key: results[key] for key in results if key not in changing} == {
            key: alone[key] for key in alone if key not in changing
        }
        row = [f"{told[name]['explained'][by]:.2f}" for by in ("size", "site", "both")]
        page = (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
        assert f"| by the earlier {name} | {' | '.join(row)} |" in page
        printed = " ".join(capsys.readouterr().out.split())
        assert f"by the earlier {name} {' '.join(row)}" in printed
        assert f"{name}, an earlier run of 40 requests, knows" in printed
    assert told["past"]["explained"]["site"] < -1
    assert (told["past"]["known_sites"], told["past"]["explained"]["known"]) == (1, 1)
    assert told["same"]["explained"]["site"] > 0.4
    assert (told["same"]["known_sites"], told["same"]["explained"]["known"]) == (0.5, 0.5)


def test_without_call_sites_the_size_alone_foretells(trace, tmp_path, capsys):
    results = figures_of(tmp_path, "best")
    assert results["call_sites"] == 0
    assert list(results["explained"]) == ["size"]
    assert "no call sites" in capsys.readouterr().out
    page = (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
    assert f"| by the other requests | {results['explained']['size']:.2f} | - | - |" in page


def test_policies_and_alignment_can_be_chosen(trace, tmp_path):
    command = ["trace", "info", "small.csv", "alignment=4", "policies=[worst,best]", "out=info"]
    assert main(command) == 0
    results = json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))
    assert list(results["headroom"]["bounded"]) == ["worst", "best"]
    assert results["alignment"] == 4
    assert results["peak_live"] % 4 == 0
    assert results["peak_live"] > results["peak_live_asked"]


def test_the_offline_packing_is_written_out(trace, tmp_path):
    assert main(["trace", "info", "small.csv", "policies=[best]", "alignment=4", "out=info"]) == 0
    results = json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))
    lines = (tmp_path / "info" / "offsets.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,lower,upper,size,offset"
    rows = [[int(field) for field in line.split(",")] for line in lines[1:]]
    assert [row[:4] for row in rows] == [
        [number, number, min(number + 2 + number % 5, 60), 1 + number % 7] for number in range(60)
    ]
    assert all(offset % 4 == 0 for *_, offset in rows)
    height = max(offset + -(-size // 4) * 4 for *_, size, offset in rows)
    assert height == results["headroom"]["offline"] * results["peak_live"]
    for number, (_, lower, _, size, offset) in enumerate(rows):
        for _, _, end, length, place in rows[:number]:
            assert end <= lower or place + length <= offset or offset + size <= place


def test_the_alignment_is_that_of_the_source_unless_it_is_chosen(trace, tmp_path):
    assert figures_of(tmp_path, "first", alignment=None)["alignment"] == 1  # MiniMalloc's columns
    (tmp_path / "small.csv").write_text("op,id,size\na,1,40\na,2,7\n", encoding="utf-8")
    results = figures_of(tmp_path, "first", alignment=None)
    assert (results["alignment"], results["notes"]) == (16, [])


def test_a_recording_too_large_for_units_of_16_bytes_is_played_in_larger_ones(trace, tmp_path):
    text = "op,id,size\na,1,40000000000\na,2,1024\nf,1,\n"
    (tmp_path / "small.csv").write_text(text, encoding="utf-8")
    results = figures_of(tmp_path, "first", alignment=None)
    assert results["alignment"] == 32
    assert results["headroom"]["bounded"] == {"first": 1.0}
    assert results["notes"] == [
        "Played in units of 32 bytes: in units of 16, which are usual for such recordings, there "
        "are more than an arena holds."
    ]
    assert results["notes"][0] in (tmp_path / "info" / "table.md").read_text(encoding="utf-8")


def test_a_snapshot_of_cuda_memory_stands_beside_pytorchs_own_allocator(trace, tmp_path, capsys):
    trace_of = [
        {"action": "segment_alloc", "addr": 0, "size": 2**21},
        {"action": "segment_alloc", "addr": 2**21, "size": 20 * 2**20},
        {"action": "alloc", "addr": 0, "size": 1000},
        {"action": "alloc", "addr": 2**21, "size": 3 * 2**20},
        {"action": "segment_free", "addr": 2**30, "size": 2**21},
    ]
    idle = [{"action": "alloc", "addr": 0, "size": 512}]
    segments = [{"device": 1, "total_size": size * 2**20, "blocks": []} for size in (2, 20)]
    snapshot = {"segments": segments, "device_traces": [idle, trace_of]}
    for name, device in (("small.csv", ""), ("small.csv", "device=1"), ("cuda.npz", "")):
        if name == "small.csv":
            (tmp_path / name).write_bytes(pickle.dumps(snapshot))
            command = ["trace", "import", name, "out=cuda.npz", "overwrite=true"]
            assert main(command) == 0
        more = [device] if device else []
        command = ["trace", "info", name, "policies=[best]", "out=info", "overwrite=true"]
        assert main([*command, *more]) == 0
        results = json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))
        assert (results["alignment"], results["requests"]) == (512, 2)
        assert results["peak_live"] == 1024 + 3 * 2**20
        # The third segment was there from the beginning until the last event.
        assert results["caching_allocator"] == {"recorded": 24 * 2**20, "by_its_rules": 22 * 2**20}
        ratio = 24 * 2**20 / results["peak_live"]
        assert results["headroom"]["caching_allocator"]["recorded"] == ratio
        table = (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
        assert f"| PyTorch, recorded | {ratio:.4f} |" in table
        assert "Recording: events of other devices, left out (device=0 takes theirs): 1." in table
        assert "PyTorch's own allocator had reserved" in capsys.readouterr().out


def figures_of(tmp_path, names, alignment: int | None = 1) -> dict:
    """The results of small.csv; by default in single bytes."""
    chosen = [] if alignment is None else [f"alignment={alignment}"]
    command = ["trace", "info", "small.csv", *chosen, f"policies=[{names}]", "out=info"]
    assert main([*command, "overwrite=true"]) == 0
    return json.loads((tmp_path / "info" / "results.json").read_text(encoding="utf-8"))


def test_a_learned_policy_in_a_file_plays_as_a_rule_does(trace, tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    name = "deep/mine.safetensors"
    save_scorer(name, first_fit_of_scores(), {})
    results = figures_of(tmp_path, f"first,{name}")
    assert list(results["headroom"]["bounded"]) == ["first", "mine"]
    # Small as the recording is, no block is tiny beside it.
    for figures in ("arena_needed", "failed_requests", "failed_bytes"):
        assert results[figures]["mine"] == results[figures]["first"]
    # It needs an arena with an upper end.
    assert list(results["headroom"]["unbounded"]) == ["first"]
    assert "| mine |" in (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
    assert "mine" in capsys.readouterr().out


@pytest.mark.skipif("learned" not in SCORERS, reason="no learned policy comes with the package yet")
def test_the_learned_policy_of_the_package_is_played_by_name(trace, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scorer_file, "_SHIPPED", SHIPPED)
    assert (load_scorer("learned").weights != first_fit_of_scores().weights).any()
    results = figures_of(tmp_path, "learned,best")
    assert list(results["headroom"]["bounded"]) == ["learned", "best"]
    assert results["headroom"]["bounded"]["learned"] >= 1
    assert set(results["failed_requests"]) == {"learned", "best"}
    assert "| learned |" in (tmp_path / "info" / "table.md").read_text(encoding="utf-8")
    assert "learned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["small.csv", "policies=[bets]"], "policies: unknown policy 'bets'; did you mean best"),
        (["small.csv", "policies=[generalist]"], "policies: generalist plays no recording"),
        (["small.csv", "policies=[no.safetensors]"], "no.safetensors: no such policy file"),
        (["small.csv", "policies=[bad.safetensors]"], "bad.safetensors: not a readable policy"),
        (["small.csv", "policies=[best,deep/no.safetensors]"], "deep/no.safetensors: no such"),
        (["small.csv", "policies=[empty.csv]"], "(or a file NAME.safetensors of a learned one"),
        (["small.csv", "policies=[]"], "policies is []; name one or more of first"),
        (["small.csv", "policies=[best,best]"], "name each once"),
        (["small.csv", "policies=best"], "policies is 'best'; a list"),
        (["small.csv", "alignment=0"], "alignment is 0; a power of two"),
        (["small.csv", "alignment=3"], "alignment is 3; a power of two"),
        (["small.csv", "alignment=1000000000000"], "alignment is 1000000000000; a power"),
        (["small.csv", "alignment=true"], "alignment is True; a power"),
        (["small.csv", "overwrite=maybe"], "overwrite is 'maybe'"),
        (["absent.csv"], "absent.csv: cannot be read (no such file"),
        (["empty.csv"], "empty.csv, line 1: the file is empty"),
        (["huge.csv", "alignment=1"], "units of 1 bytes live at once; an arena holds"),
        (["huge.csv", "alignment=1"], "take alignment=4"),
        (["huge.csv", "alignment=2"], "an arena of 1.2 x peak live needs more than"),
        (["vast.csv"], "in units of at most 2,097,152 bytes it cannot be played"),
        (["small.csv", "device=1"], "device=1 is for snapshots of CUDA memory"),
        (["small.csv", "device=x"], "device is 'x'; the number of a device"),
        ([], "trace info: which file?"),
        (["small.csv", "sites.csv"], "small.csv has no call sites that mean the same in every run"),
        (["sites.csv", "small.csv"], "small.csv has no call sites that mean the same in every run"),
        (["sites.csv", "sites.csv"], "sites.csv is named twice; name an earlier run"),
        (["absent.csv", "sites.csv"], "absent.csv: cannot be read (no such file"),
        (["sites.csv", "absent.csv"], "absent.csv: cannot be read (no such file"),
        (["a.csv", "b.csv", "c.csv"], "trace info: a.csv b.csv c.csv are 3 files; usage: jaxmem"),
        (["sites.csv", "earlier=small.csv"], "jaxmem trace info has no 'earlier'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(trace, tmp_path, capsys, arguments, said):
    (tmp_path / "empty.csv").touch()
    with_sites(tmp_path / "sites.csv", "pq")
    (tmp_path / "bad.safetensors").write_bytes(b"half of a file")
    (tmp_path / "huge.csv").write_text("op,id,size\na,1,4000000000\n", encoding="utf-8")
    (tmp_path / "vast.csv").write_text(f"op,id,size\na,1,{2**60}\n", encoding="utf-8")
    before = set(tmp_path.iterdir())
    assert main(["trace", "info", *arguments]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    assert said in heard.err
    assert set(tmp_path.iterdir()) == before


def test_results_are_kept_unless_they_may_be_replaced(trace, tmp_path, capsys):
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "results.json").write_text("{}", encoding="utf-8")
    assert main(["trace", "info", "small.csv", "out=info"]) == 2
    assert "already holds results" in capsys.readouterr().err


def test_an_interruption_leaves_nothing_behind(trace, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trace_info, "headroom", interrupted)
    before = set(tmp_path.iterdir())
    assert main(["trace", "info", "small.csv"]) == 130
    assert main(["trace", "info", "small.csv", "out=deep/info"]) == 130
    assert set(tmp_path.iterdir()) == before
