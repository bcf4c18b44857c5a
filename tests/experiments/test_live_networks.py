"""The study of networks in a learned arena: of a program that is tiny, and what the table says."""

import json
import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
UNSUITED = sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("cc")
# In place of a network: some blocks stay, and between them come those that do not.
CODE = """
import ctypes
c = ctypes.CDLL(None)
def block(size):
    at = ctypes.c_void_p()
    assert not c.posix_memalign(ctypes.byref(at), 64, size)
    return at
kept = []
for n in range(60):
    gone = block(40000 + {seed} * 64 * (n % 7))
    kept.append(block(33000 + 640 * (n % 5)))
    c.free(gone)
    if n % 3 == 0:
        c.free(kept.pop(0))
print("{given}", "{network}")
"""


@pytest.fixture
def study(monkeypatch, tmp_path, recorder_cache):
    """The script, in a folder to work in."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.syspath_prepend(str(EXPERIMENTS / "traces"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(recorder_cache))
    monkeypatch.chdir(tmp_path)
    yield import_module("live_networks")
    for name in ("live_networks", "allocator_study", "allocator_tables", "recorders", "families"):
        sys.modules.pop(name, None)


def row(study, network: str, chosen: float, **others):
    needed = {"first": 1.3, "best": 1.25, "class rule": 1.2, "chosen": chosen}
    facts = {"requests": 9, "peak_live": 2**20, "chosen": "plan", "failed": 0, "best_failed": 3}
    return study.Row(
        network=network, settings={"seed": 5, "batch": 20}, needed=needed,
        **{**facts, "same_output": True, "differences": [], **others},
    )  # fmt: skip


def test_the_table_says_on_how_many_networks_less_is_needed(study, monkeypatch, capsys):
    Path("out/rows").mkdir(parents=True)
    rows = {"lstm": row(study, "lstm", 1.0), "graph": row(study, "graph", 1.26)}
    for name, each in rows.items():
        Path(f"out/rows/{name}.json").write_text(json.dumps([asdict(each)]))
    monkeypatch.setattr(sys, "argv", ["live_networks.py", "networks=[lstm,graph]", "out=out"])
    study.main()
    table = Path("out/table.md").read_text()
    assert "On 1 of 2 networks the policy that is chosen needs at least 3% less" in table
    assert "at worst, on one run, it needs 1.0080 of best-fit's" in table
    assert "| lstm | batch 20 | 9 | 1 MiB | 1.3000 | 1.2500 | 1.2000 | 1.0000, plan | 0.8000 |" in (
        table
    )
    wrong = row(study, "graph", 1.0, failed=1)
    Path("out/rows/graph.json").write_text(json.dumps([asdict(wrong)]))
    with pytest.raises(SystemExit, match="3"):
        study.main()


@pytest.mark.slow
@pytest.mark.skipif(UNSUITED, reason="our allocator needs Linux on x86-64 and a C compiler")
def test_what_is_learned_is_played_live_in_the_arena_that_it_needs(study, monkeypatch):
    monkeypatch.setattr(study, "CODE", CODE)
    network = study.Network("lstm", os.path.realpath(sys.executable), Path.cwd())
    learned = network.learned()
    found = network.tested(6, learned)
    assert found.holds
    assert found.requests == 120
    assert 1 <= found.needed["chosen"] <= found.needed["best"]
    assert (found.best_failed > 0) == (found.needed["chosen"] < found.needed["best"])
