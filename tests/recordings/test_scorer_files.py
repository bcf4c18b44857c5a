"""Saved scorers of holes: what is loaded is what was saved, and any other file is refused."""

import errno
import json
import os
import re

import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights
from safetensors.numpy import save_file

from jaxmem import whole_files
from jaxmem.carded_file import read_policy_file
from jaxmem.environment.observations import FEATURES as SEEN
from jaxmem.policies.policy_file import Card, PolicyFileError, load_policy, save_policy
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.scorer_file import SCORER_FORMAT, SCORERS, load_scorer, save_scorer

TRAINING = {"programs": ["one", "two"], "seed": 3}
random = np.random.default_rng(0)
SCORER = HoleScorer(
    jnp.asarray(random.normal(size=len(HOLE_FEATURES)), jnp.float32),
    jnp.asarray(random.normal(size=len(PRIOR)), jnp.float32),
)


def assert_same(one, other):
    assert one.weights.dtype == one.prior.dtype == jnp.float32
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.prior, other.prior)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_scorer_file_comes_back_exactly(path, kind):
    save_scorer(kind(path), SCORER, TRAINING)
    assert_same(load_scorer(kind(path)), SCORER)
    assert [file.name for file in path.parent.iterdir()] == ["mine.safetensors"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_weights_that_lie_apart_in_memory_come_back_exactly(path):
    apart = np.arange(2.0 * len(HOLE_FEATURES), dtype=np.float32)[::2]
    save_scorer(path, SCORER.replace(weights=apart), TRAINING)
    np.testing.assert_array_equal(load_scorer(path).weights, apart)


def test_the_card_says_how_the_weights_were_learned(path):
    save_scorer(path, SCORER, TRAINING)
    _, card = read_policy_file(path, path)
    assert card["training"] == TRAINING
    assert card["format"] == SCORER_FORMAT


def test_a_file_is_replaced_whole_or_not_at_all(path, monkeypatch):
    def full(descriptor):
        os.ftruncate(descriptor, 4)
        raise OSError(errno.ENOSPC, "no space left")

    save_scorer(path, SCORER, TRAINING)
    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_scorer(path, SCORER.replace(weights=2 * SCORER.weights), TRAINING)
    assert_same(load_scorer(path), SCORER)


@pytest.mark.skipif(not SCORERS, reason="no scorer comes with the package yet")
def test_those_of_the_package_are_loaded_by_name():
    for name in SCORERS:
        assert load_scorer(name).weights.shape == (len(HOLE_FEATURES),)


def write(path, /, drop=(), arrays=None, **changes):
    """A file by hand, that may differ from any that is ever saved."""
    given = {"weights": np.asarray(SCORER.weights), "prior": np.asarray(SCORER.prior)}
    given = {**given, **(arrays or {})}
    card = {
        "format": SCORER_FORMAT,
        "weights": HOLE_FEATURES,
        "prior": PRIOR,
        "training": {},
        **changes,
    }
    save_file(
        {name: array for name, array in given.items() if name not in drop},
        path,
        metadata={"card": json.dumps({k: v for k, v in card.items() if k not in drop})},
    )


def cut(share):
    def spoil(path):
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return spoil


def flipped(path):
    write(path)
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


def unknown_type(path):
    header = {"weights": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + b"\0\0")


def raw(content):
    return lambda path: path.write_bytes(content)


def weights(array):
    return lambda path: write(path, arrays={"weights": np.asarray(array)})


UNREADABLE = "not a readable policy file"
OTHER = "no scorer of format jaxmem-scorer-1; recordings in bytes need one"
SHAPE = f"weights are not {len(HOLE_FEATURES)} float32"
SPOILT = {
    "missing": (lambda path: None, "no such policy file"),
    "a folder": (lambda path: path.mkdir(), UNREADABLE),
    "empty": (raw(b""), UNREADABLE),
    "text": (raw(b"size,lifetime\n" * 20), UNREADABLE),
    "an endless header": (raw(b"\xff" * 64), UNREADABLE),
    "cut in the header": (cut(0.05), UNREADABLE),
    "cut in the arrays": (cut(0.95), UNREADABLE),
    "cut by little": (cut(0.999), UNREADABLE),
    "flipped bits": (flipped, UNREADABLE),
    "an array of an unknown type": (unknown_type, UNREADABLE),
    "foreign": (lambda path: save_file({"weight": np.ones(3)}, path), OTHER),
    "card that is no object": (
        lambda path: save_file({"x": np.ones(3)}, path, metadata={"card": "[1]"}),
        OTHER,
    ),
    "card that is no JSON": (
        lambda path: save_file({"x": np.ones(3)}, path, metadata={"card": "{"}),
        UNREADABLE,
    ),
    "card that nests without end": (
        lambda path: save_file({"x": np.ones(3)}, path, metadata={"card": "[" * 200_000}),
        UNREADABLE,
    ),
    "later format": (lambda path: write(path, format="jaxmem-scorer-2"), OTHER),
    "no format": (lambda path: write(path, drop=["format"]), OTHER),
    "renamed feature": (
        lambda path: write(path, weights=["no such", *HOLE_FEATURES[1:]]),
        "made for other features than this version's, of weights",
    ),
    "reordered features": (
        lambda path: write(path, prior=PRIOR[::-1]),
        "made for other features than this version's, of prior",
    ),
    "features that are no list": (lambda path: write(path, weights=5), "made for other features"),
    "no weights": (
        lambda path: save_file(
            {"prior": np.asarray(SCORER.prior)},
            path,
            metadata={
                "card": json.dumps(
                    {"format": SCORER_FORMAT, "weights": HOLE_FEATURES, "prior": PRIOR}
                )
            },
        ),
        SHAPE,
    ),
    "too few weights": (weights(SCORER.weights[1:]), SHAPE),
    "weights in a column": (weights(SCORER.weights[:, None]), SHAPE),
    "weights of double length": (weights(np.zeros(len(HOLE_FEATURES))), SHAPE),
    "whole numbers": (weights(np.zeros(len(HOLE_FEATURES), np.int32)), SHAPE),
    "not a number": (
        weights(SCORER.weights.at[3].set(jnp.nan)),
        "it holds numbers that are not finite",
    ),
    "endless": (
        lambda path: write(path, arrays={"prior": np.full(len(PRIOR), -np.inf, np.float32)}),
        "it holds numbers that are not finite",
    ),
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_no_scorer_is_refused_by_name(spoil, reason, path):
    spoil(path)
    with pytest.raises(PolicyFileError, match=reason) as refused:
        load_scorer(path)
    assert re.match(re.escape(str(path)) + ": ", str(refused.value))
    assert "\n" not in str(refused.value)


def test_each_kind_of_policy_says_that_it_is_not_the_other(path):
    network = scorer_weights((4,), columns=SEEN)
    save_policy(path, network, Card(holes=3, hidden_sizes=(4,)))
    with pytest.raises(PolicyFileError, match=f"mine.safetensors: {OTHER}"):
        load_scorer(path)
    save_scorer(path, SCORER, TRAINING)
    message = "mine.safetensors: a policy for recordings in bytes; it plays in jaxmem trace info"
    with pytest.raises(PolicyFileError, match=message):
        load_policy(path)
