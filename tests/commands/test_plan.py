"""`jaxmem plan`: what it leaves, what it says, what it refuses, and how it is interrupted."""

import csv
import json
import os
import shutil
import signal

import pytest
from PIL import Image

from jaxmem.cli import main
from jaxmem.commands import plan
from jaxmem.recordings import offline_packing, planning, read_trace

BUFFERS = [(f"b{number}", number, number + 2 + number % 5, 1 + number % 7) for number in range(60)]
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves the picture away, which takes a second."""
    monkeypatch.setattr(plan, "draw_plan", lambda *_: None)


def written(path, rows, header: str = "id,lower,upper,size") -> str:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def results_of(folder) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def offsets_of(folder) -> dict[str, list[int]]:
    """lower, upper, size and offset by id."""
    with (folder / "offsets.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "lower", "upper", "size", "offset"]
    return {name: [int(value) for value in values] for name, *values in rows}


def height_of(offsets: dict[str, list[int]], alignment: int = 1) -> int:
    """The height of a packing in which no two buffers overlap, looked at pair by pair."""
    rows = [
        (lower, upper, -(-size // alignment) * alignment, offset)
        for lower, upper, size, offset in offsets.values()
    ]
    for number, (lower, upper, size, offset) in enumerate(rows):
        assert offset >= 0 == offset % alignment
        for other in rows[:number]:
            apart = other[1] <= lower or upper <= other[0]
            assert apart or other[3] + other[2] <= offset or offset + size <= other[3]
    return max(offset + size for _, _, size, offset in rows)


def test_a_plan_leaves_offsets_figures_a_table_and_a_picture(tmp_path, capsys):
    out = tmp_path / "plan"
    # Not in the order of time, and times that are no numbers of requests.
    rows = [(name, 10 * lower, 10 * upper, size) for name, lower, upper, size in BUFFERS[::-1]]
    assert main(["plan", written(tmp_path / "b.csv", rows), f"out={out}"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    made = {file.name for file in out.iterdir()}
    assert made == {"config.yaml", "results.json", "table.md", "plan.png", "offsets.csv"}
    results, offsets = results_of(out), offsets_of(out)
    assert {name: row[:3] for name, row in offsets.items()} == {
        name: list(row) for name, *row in rows
    }
    assert results["arena_needed"] == height_of(offsets)
    assert results["proven"] is True
    assert results["arena_needed"] == results["lower_bound"] >= results["peak_live"]
    assert results["ratio"] == results["arena_needed"] / results["peak_live"]
    assert results["planner"] in results["heights"]
    assert results["heights"][results["planner"]][-1][1] == results["arena_needed"]
    assert printed.endswith(results["verdict"])
    assert results["verdict"].endswith("no packing is lower.")
    assert results["verdict"] in (out / "table.md").read_text(encoding="utf-8")
    with Image.open(out / "plan.png") as picture:
        assert picture.width > picture.height > 100


def test_offsets_are_multiples_of_the_alignment(tmp_path, undrawn):
    out = tmp_path / "plan"
    file = written(tmp_path / "b.csv", BUFFERS)
    assert main(["plan", file, f"out={out}", "alignment=8", "planners=[search]"]) == 0
    assert height_of(offsets_of(out), 8) == results_of(out)["arena_needed"]


def test_an_alignment_in_the_file_is_that_of_one_buffer(tmp_path, undrawn, capsys):
    out, header = tmp_path / "plan", "id,lower,upper,size,alignment"
    rows = [(*row, 64 if row[0] in ("b7", "b30") else "") for row in BUFFERS]
    file = written(tmp_path / "b.csv", rows, header)
    assert main(["plan", file, f"out={out}", "seconds=5"]) == 0
    offsets = offsets_of(out)
    assert offsets["b7"][3] % 64 == offsets["b30"][3] % 64 == 0
    assert any(row[3] % 64 for row in offsets.values())
    assert height_of(offsets) == results_of(out)["arena_needed"]
    assert results_of(out)["aligned"] == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "annealing knows no alignment of single buffers" in printed
    assert "alignment, which is left out" not in printed


def test_an_offset_in_the_file_pins_a_buffer(tmp_path, undrawn, capsys):
    out, header = tmp_path / "plan", "id,lower,upper,size,offset"
    rows = [(*row, 24 if row[0] in ("b7", "b30") else "") for row in BUFFERS]
    file = written(tmp_path / "b.csv", rows, header)
    assert main(["plan", file, f"out={out}"]) == 0
    offsets = offsets_of(out)
    assert offsets["b7"][3] == offsets["b30"][3] == 24
    assert height_of(offsets) == results_of(out)["arena_needed"]
    assert results_of(out)["pinned"] == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "annealing knows no pinned buffers" in printed
    assert "left out" not in printed
    # What it has written is a plan with every buffer pinned.
    again = tmp_path / "again"
    assert main(["plan", str(out / "offsets.csv"), f"out={again}"]) == 0
    assert offsets_of(again) == offsets
    # Others who read the file leave offsets out, as ever.
    assert "offset" in read_trace(file).about.notes[0]


def test_a_recording_of_events_is_planned_by_numbers_of_requests(tmp_path, undrawn):
    out, lines = tmp_path / "plan", ["op,id,size"]
    for number in range(20):
        lines += [f"a,{number},{16 + number}", *([f"f,{number - 2},0"] if number > 3 else [])]
    (tmp_path / "b.csv").write_text("\n".join(lines), encoding="utf-8")
    assert main(["plan", str(tmp_path / "b.csv"), f"out={out}"]) == 0
    assert list(offsets_of(out)) == [str(number) for number in range(20)]
    assert results_of(out)["alignment"] == 16
    assert height_of(offsets_of(out), 16) == results_of(out)["arena_needed"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_the_best_so_far(
    number, status, tmp_path, undrawn, monkeypatch, capsys
):
    def interrupted(task, board, seed):
        os.kill(os.getpid(), number)
        board.wait(60)

    rows = [(n, n, n + 1 + n * 7 % 30, 1 + n * 37 % 101) for n in range(120)]
    monkeypatch.setitem(planning.PLANNERS, "search", interrupted)
    out = tmp_path / "plan"
    file = written(tmp_path / "b.csv", rows)
    assert main(["plan", file, f"out={out}", "planners=[search]"]) == status
    results = results_of(out)
    assert results["interrupted"] is True
    assert results["proven"] is False
    assert results["seconds"] < 30
    assert height_of(offsets_of(out)) == results["arena_needed"] > results["lower_bound"]
    assert "when it was interrupted" in " ".join(capsys.readouterr().out.split())


def test_without_a_compiler_annealing_plans_and_it_is_said(tmp_path, undrawn, monkeypatch, capsys):
    monkeypatch.setattr(offline_packing, "rounds_for", lambda blocks: 0)
    monkeypatch.setattr(offline_packing, "PLACED", 2000)
    monkeypatch.setenv("CC", "no-such-compiler")
    out, file = tmp_path / "plan", written(tmp_path / "b.csv", BUFFERS)
    assert main(["plan", file, f"out={out}", "seconds=1"]) == 0
    assert "there is no C compiler: install gcc" in " ".join(capsys.readouterr().out.split())
    assert height_of(offsets_of(out)) == results_of(out)["arena_needed"]
    assert main(["plan", file, f"out={out}2", "planners=[search]"]) == 2
    assert "there is no C compiler" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", [], "the file is empty"),
        ("id,lower,upper,size\n", [], "a header and no allocation"),
        ("id,lower,upper,size\na,0,1,1", ["planners=[]"], "planners is []; name one or more of"),
        ("id,lower,upper,size\na,0,1,1", ["planners=[serch]"], "did you mean search"),
        (
            "id,lower,upper,size\na,0,1,1",
            ["planners=[search,search]"],
            "planners is ['search', 'search']; name each once",
        ),
        ("id,lower,upper,size\na,0,1,1", ["seconds=0"], "seconds is 0; a number above 0"),
        ("id,lower,upper,size\na,0,1,1", ["alignment=3"], "alignment is 3; a power of two"),
        (
            "id,lower,upper,size,offset\na,0,2,4,0\nb,1,3,4,3",
            [],
            "pinned blocks a and b overlap while both are live",
        ),
        ("id,lower,upper,size,offset\na,0,2,4,2", ["alignment=4"], "which is no multiple of"),
        ("id,lower,upper,size,offset\na,0,2,4,-1", [], "buffer a has the offset '-1'"),
        (
            "id,lower,upper,size,offset\na,0,2,4,0",
            ["planners=[annealing]"],
            "planners: annealing knows no pinned buffers",
        ),
        (f"id,lower,upper,size\na,0,1,{2**61}", [], "at most 2^60 can be planned"),
    ],
)
def test_what_cannot_be_planned_is_told_in_one_line(text, words, said, tmp_path, capsys):
    file, out = tmp_path / "b.csv", tmp_path / "plan"
    file.write_text(text, encoding="utf-8")
    assert main(["plan", str(file), f"out={out}", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()
