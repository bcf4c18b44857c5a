"""Saved policies: what is loaded is what was saved, and any other file is refused by name."""

import dataclasses
import json
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from networks import scorer_weights, weights_of
from safetensors.numpy import save_file

from jaxmem import whole_files
from jaxmem.environment.observations import BINS, FEATURES, OVERVIEW, Packed
from jaxmem.evaluation.run import failed_share
from jaxmem.policies import policy
from jaxmem.policies import policy_file as files
from jaxmem.policies.learned import greedy, learned
from jaxmem.policies.policy_file import Card, PolicyFileError, load_policy, read_policy, save_policy
from jaxmem.policies.q_functions import AddressQ
from jaxmem.workloads.registry import workload

CARD = Card(holes=3, hidden_sizes=(8, 4), training={"workload": "comb", "steps": 7, "seed": 1})


@pytest.fixture(scope="module")
def network():
    """Random parameters, in no way round numbers."""
    return scorer_weights(CARD.hidden_sizes, seed=3)


@pytest.fixture
def saved(tmp_path, network):
    path = tmp_path / "policy.safetensors"
    save_policy(path, network, CARD)
    return path


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def test_a_saved_policy_comes_back_exactly(saved, network):
    parameters, card = read_policy(saved)
    assert_same(parameters, network)
    assert card == CARD


def test_a_run_folder_stands_for_its_policy(saved, network):
    assert_same(load_policy(saved.parent).parameters.network, network)


def test_a_loaded_policy_shares_the_compiled_program_of_its_shape(saved, network):
    loaded = load_policy(str(saved), name="mine")
    assert loaded.name == "mine"
    assert_same(loaded.parameters.network, network)
    assert loaded.rule is learned(network, CARD.holes, CARD.hidden_sizes).rule


def values_by(q, parameters):
    """The values of a made-up situation by a network: float32[A]."""
    numbers = np.random.default_rng(0).integers(0, 9, (CARD.holes, 8)).astype(np.int32)
    packed = Packed(
        *(numbers, *np.int32([2, 40]), np.float32(3), *np.int32([3, 4, 8])),
        histogram=np.arange(BINS, dtype=np.int32),
        overview=np.linspace(0, 1, len(OVERVIEW), dtype=np.float32),
    )
    return np.asarray(jax.jit(q.values)(parameters, packed))


def test_a_blind_policy_plays_the_same_after_loading(tmp_path, network):
    card = dataclasses.replace(CARD, hidden_feature_groups=("hole", "place"))
    save_policy(tmp_path / "blind.safetensors", network, card)
    assert read_policy(tmp_path / "blind.safetensors")[1] == card
    loaded, blind = load_policy(tmp_path / "blind.safetensors"), greedy(card.q, network)
    assert loaded.rule is blind.rule
    assert_same(loaded.parameters.network, network)
    unseen, seen = values_by(card.q, network), values_by(CARD.q, network)
    assert (unseen != seen)[np.isfinite(seen)].all()


def test_a_network_reads_the_columns_of_its_card_in_their_order(tmp_path, network):
    turned = flatten_dict(network, sep="/")
    turned["params/Dense_0/kernel"] = turned["params/Dense_0/kernel"][::-1]
    write(tmp_path / "policy.safetensors", unflatten_dict(turned, sep="/"), features=FEATURES[::-1])
    parameters, card = read_policy(tmp_path / "policy.safetensors")
    assert card.features == FEATURES[::-1]
    by_card, usual = values_by(card.q, parameters), values_by(CARD.q, network)
    np.testing.assert_allclose(by_card, usual, rtol=1e-5, atol=1e-6)


MLP = Card(holes=3, hidden_sizes=(8, 4), network="mlp", cells=40)


@pytest.fixture(scope="module")
def over_addresses():
    """Random parameters of an MLP over 40 cells."""
    return weights_of(AddressQ(40, MLP.hidden_sizes).init, seed=3)


def test_an_mlp_comes_back_exactly_and_knows_its_arena(tmp_path, over_addresses):
    save_policy(tmp_path / "mlp.safetensors", over_addresses, MLP)
    parameters, card = read_policy(tmp_path / "mlp.safetensors")
    assert_same(parameters, over_addresses)
    assert card == MLP
    loaded = load_policy(tmp_path / "mlp.safetensors", "mine")
    loaded.check_plays(40)
    message = (
        "policy mine was trained for arenas of 40 cells and plays in no others; this one has 41"
    )
    with pytest.raises(ValueError, match=message):
        loaded.check_plays(41)


def test_a_card_from_before_there_were_other_networks_is_a_scorers(tmp_path, network):
    write(tmp_path / "old.safetensors", network, drop=files.LATER)
    card = read_policy(tmp_path / "old.safetensors")[1]
    assert (card.network, card.cells, card.hidden_feature_groups, card.estimates_lifetimes) == (
        "scorer",
        None,
        (),
        False,
    )
    load_policy(tmp_path / "old.safetensors").check_plays(12345)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cells": 39}, "not the network of its card, mlp .* for 39 cells; differing: .*Dense_0"),
        ({"network": "scorer", "cells": None}, "not the network of its card, scorer with .*Layer"),
        ({"cells": None}, "its card says network mlp for None cells"),
        ({"cells": True}, "its card says network mlp for True cells"),
        ({"cells": 5000}, "its card says network mlp for 5000 cells"),
        ({"network": "scorer"}, "its card says network scorer for 40 cells"),
        ({"network": "cnn"}, "its card says network 'cnn'; one of scorer, mlp"),
        ({"hidden_feature_groups": ["hole"]}, r"its card hides \['hole'\] from network mlp"),
    ],
)
def test_a_card_of_another_network_or_arena_says_what_differs(
    changes, reason, tmp_path, over_addresses
):
    write(tmp_path / "wrong.safetensors", over_addresses, MLP, **changes)
    with pytest.raises(PolicyFileError, match=f"wrong.safetensors: {reason}"):
        load_policy(tmp_path / "wrong.safetensors")


def test_the_generalist_comes_with_the_package():
    assert "generalist" in files.SHIPPED
    generalist = load_policy("generalist")
    assert generalist.name == "generalist"
    generalist.check_plays(64)
    card = read_policy("generalist")[1]
    assert card.base_policy == "two_ended_tuned"
    assert card.training["lifetime_hints"] == "estimated"
    assert card.estimates_lifetimes


@pytest.mark.parametrize("name", files.SHIPPED)
def test_a_policy_of_the_package_is_small_and_has_its_card_beside_it(name):
    folder = Path(files.__file__).parent / "shipped"
    assert (folder / f"{name}.safetensors").stat().st_size < 200_000
    beside = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    card = read_policy(name)[1]
    assert beside["card"] == json.loads(json.dumps(dataclasses.asdict(card)))
    assert card.training["seed"] == 0
    assert load_policy(name).name == name


@pytest.mark.slow
def test_the_generalist_fails_less_than_best_fit_where_small_blocks_live_long():
    task = workload("stack-with-leaks")
    requests = task.requests("test", 5, 64)
    players = load_policy("generalist"), policy("best")
    mine, best = (failed_share(player, requests, task) for player in players)
    assert mine < best


def test_arrays_in_any_memory_order_are_saved_by_value(tmp_path, network):
    turned = jax.tree.map(np.asfortranarray, network)
    save_policy(tmp_path / "turned.safetensors", turned, CARD)
    assert_same(read_policy(tmp_path / "turned.safetensors")[0], network)


def test_saving_again_replaces_the_policy(saved, network):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, network)
    save_policy(saved, doubled, CARD)
    assert_same(read_policy(saved)[0], doubled)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("killed_by", [KeyboardInterrupt, OSError("disk full")])
def test_a_killed_save_leaves_the_old_policy_or_none(killed_by, saved, network, monkeypatch):
    def killed(descriptor):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        raise killed_by

    monkeypatch.setattr(whole_files.os, "fsync", killed)
    other = jax.tree.map(lambda leaf: 2 * leaf, network)
    for path in (saved, saved.with_name("new.safetensors")):
        with pytest.raises(type(killed_by) if isinstance(killed_by, OSError) else killed_by):
            save_policy(path, other, CARD)
    assert_same(read_policy(saved)[0], network)
    assert not saved.with_name("new.safetensors").exists()


def test_a_save_killed_before_the_last_step_is_not_seen_by_a_reader(saved, network, monkeypatch):
    """The file under the final name is at no moment anything but whole."""
    seen, sync = [], os.fsync

    def watched(descriptor):
        sync(descriptor)
        seen.append(read_policy(saved)[0])

    monkeypatch.setattr(whole_files.os, "fsync", watched)
    save_policy(saved, jax.tree.map(lambda leaf: 2 * leaf, network), CARD)
    assert_same(seen[0], network)


def write(path, network, /, card=CARD, drop=(), **changes):
    """A policy file by hand, with a card that may differ from any that is ever saved."""
    arrays = {name: np.asarray(leaf) for name, leaf in flatten_dict(network, sep="/").items()}
    card = card if isinstance(card, dict) else dataclasses.asdict(card)
    card = {name: value for name, value in {**card, **changes}.items() if name not in drop}
    save_file(arrays, path, metadata={"card": json.dumps(card)})


def cut(share):
    def spoil(path, network):
        write(path, network)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return spoil


def flipped(path, network):
    write(path, network)
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


def renamed_feature(path, network):
    write(path, network, features=["no_such_feature", *FEATURES[1:]])


def repeated_feature(path, network):
    write(path, network, features=[*FEATURES[:-1], FEATURES[0]])


def without_first_array(network):
    flat = flatten_dict(network, sep="/")
    return {name: leaf for name, leaf in flat.items() if name != "params/Dense_0/kernel"}


def raw(content):
    return lambda path, network: path.write_bytes(content)


UNREADABLE = {
    "missing": (lambda path, network: None, "no such policy file"),
    "a folder": (lambda path, network: path.mkdir(), "not a readable policy file"),
    "empty": (raw(b""), "not a readable policy file"),
    "text": (raw(b"size,lifetime\n" * 20), "not a readable policy file"),
    "short": (raw(b"\x01\x02"), "not a readable policy file"),
    "an endless header": (raw(b"\xff" * 64), "not a readable policy file"),
    "cut in the header": (cut(0.05), "not a readable policy file"),
    "cut in the arrays": (cut(0.7), "not a readable policy file"),
    "cut by little": (cut(0.999), "not a readable policy file"),
    "flipped bits": (flipped, "not a readable policy file"),
    "foreign": (
        lambda path, network: save_file({"weight": np.ones(3)}, path),
        "no policy of format jaxmem-policy-1",
    ),
    "foreign with a card": (
        lambda path, network: write(path, network, {"author": "me"}),
        "no policy of format",
    ),
    "card that is no object": (
        lambda path, network: save_file({"x": np.ones(3)}, path, metadata={"card": "[1]"}),
        "no policy of format",
    ),
    "card that is no JSON": (
        lambda path, network: save_file({"x": np.ones(3)}, path, metadata={"card": "{"}),
        "not a readable policy file",
    ),
    "later format": (
        lambda path, network: write(path, network, format="jaxmem-policy-2"),
        "no policy of format",
    ),
    "renamed feature": (renamed_feature, "features that this version lacks: no_such_feature"),
    "repeated feature": (repeated_feature, "lists no features, or one twice"),
    "no features": (
        lambda path, network: write(path, network, features=[]),
        "lists no features, or one twice",
    ),
}


@pytest.mark.parametrize(("spoil", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_policy_is_refused_by_name(spoil, reason, tmp_path, network):
    path = tmp_path / "policy.safetensors"
    spoil(path, network)
    with pytest.raises(PolicyFileError, match=reason) as refused:
        load_policy(path)
    assert re.match(re.escape(str(path)) + ": ", str(refused.value))
    assert "\n" not in str(refused.value)


INCONSISTENT = {
    "no widths": lambda path, network: write(path, network, drop=["hidden_sizes"]),
    "widths of another network": lambda path, network: write(path, network, hidden_sizes=(9, 4)),
    "fewer widths": lambda path, network: write(path, network, hidden_sizes=(8,)),
    "widths that are no list": lambda path, network: write(path, network, hidden_sizes=8),
    "holes below 1": lambda path, network: write(path, network, holes=0),
    "holes that are no number": lambda path, network: write(path, network, holes="3"),
    "a card from later": lambda path, network: write(path, network, colour="red"),
    "an array missing": lambda path, network: write(path, without_first_array(network)),
    "an array that is not finite": lambda path, network: write(
        path, jax.tree.map(lambda leaf: leaf * np.nan, network)
    ),
    "an array of an unknown type": lambda path, network: raw_float8(path),
    "features that are no list": lambda path, network: write(path, network, features=5),
    "holes that are true": lambda path, network: write(path, network, holes=True),
    "arrays of whole numbers": lambda path, network: write(
        path, jax.tree.map(lambda leaf: leaf.astype(jnp.int32), network)
    ),
}


def raw_float8(path):
    header = json.dumps({"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")


@pytest.mark.parametrize("estimates_lifetimes", ["yes", 1, None, [True]])
def test_a_card_that_foretells_something_else_than_true_or_false_is_refused(
    estimates_lifetimes, tmp_path, network
):
    write(tmp_path / "policy.safetensors", network, estimates_lifetimes=estimates_lifetimes)
    with pytest.raises(
        PolicyFileError, match=r"policy.safetensors: its card says estimates_lifetimes "
    ):
        load_policy(tmp_path / "policy.safetensors")


def test_a_policy_that_foretells_does_so_after_loading(tmp_path, network):
    save_policy(
        tmp_path / "told.safetensors", network, dataclasses.replace(CARD, estimates_lifetimes=True)
    )
    save_policy(tmp_path / "plain.safetensors", network, CARD)
    assert load_policy(tmp_path / "told.safetensors").estimates_lifetimes
    assert not load_policy(tmp_path / "plain.safetensors").estimates_lifetimes


@pytest.mark.parametrize(
    "hidden_feature_groups",
    ["hole", ["holes"], [["hole"]], [{}], ["hole", 1], {"hole": 1}, None, True],
)
def test_a_card_that_is_blind_to_no_group_is_refused_by_name(
    hidden_feature_groups, tmp_path, network
):
    write(tmp_path / "policy.safetensors", network, hidden_feature_groups=hidden_feature_groups)
    with pytest.raises(PolicyFileError, match=r"policy.safetensors: its card hides the features "):
        load_policy(tmp_path / "policy.safetensors")


@pytest.mark.parametrize("spoil", INCONSISTENT.values(), ids=INCONSISTENT)
def test_a_policy_whose_card_and_arrays_disagree_is_refused_by_name(spoil, tmp_path, network):
    path = tmp_path / "policy.safetensors"
    spoil(path, network)
    with pytest.raises(PolicyFileError) as refused:
        load_policy(path)
    assert re.match(re.escape(str(path)) + ": ", str(refused.value))
