"""What ships is the study's policy of seed 0, with what the study found beside it."""

import json
import sys
from pathlib import Path

import jax
import pytest

from jaxmem.policies.policy_file import Card, save_policy
from jaxmem.policies.q_functions import CandidateQ

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOUND = {
    "learned": {"failed_requests": {"mean": 1.5}},
    "by_seed": [1.5],
    "best_of_four_fits": {"rule": "best"},
    "best_heuristic": {"rule": "two_ended_tuned"},
    "devices": ["1 x cpu"],
}


@pytest.fixture
def specialists(monkeypatch, tmp_path):
    """The script, on a study of two rows with a policy and one without."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import specialists

    study, shipped = tmp_path / "study", tmp_path / "shipped"
    (study / "members").mkdir(parents=True)
    shipped.mkdir()
    for row in ("comb", "large-short-lived-long"):
        network = CandidateQ(4, (8,)).init(jax.random.key(0))
        save_policy(study / "members" / f"{row}-0.safetensors", network, Card(4, (8,)))
    named = ("comb", "large-short-lived-long", "robson")
    rows = {row: {**FOUND, "seconds": [1.0]} for row in named}
    (study / "results.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    monkeypatch.setattr(specialists, "STUDY", study)
    monkeypatch.setattr(specialists, "SHIPPED", shipped)
    yield specialists
    sys.modules.pop("specialists")


def test_the_policies_of_the_rows_ship_with_their_figures(specialists):
    specialists.main()
    assert sorted(file.name for file in specialists.SHIPPED.iterdir()) == [
        "comb.json",
        "comb.safetensors",
    ]
    member = specialists.STUDY / "members" / "comb-0.safetensors"
    assert (specialists.SHIPPED / "comb.safetensors").read_bytes() == member.read_bytes()
    told = json.loads((specialists.SHIPPED / "comb.json").read_text(encoding="utf-8"))
    assert told["study"] == FOUND
    assert told["card"]["holes"] == 4


def test_a_policy_that_is_too_large_does_not_ship(specialists, monkeypatch):
    monkeypatch.setattr(specialists, "MOST", 100)
    with pytest.raises(SystemExit, match=r"comb-0.safetensors has [\d,]+ bytes; at most 100"):
        specialists.main()
    assert list(specialists.SHIPPED.iterdir()) == []
