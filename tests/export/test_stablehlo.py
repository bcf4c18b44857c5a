"""Policies as StableHLO: read back, a batch chooses as the policy does."""

import functools
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from networks import weights_of
from repetition import slow

from jaxmem.arena.arena import NOWHERE
from jaxmem.environment.observations import BINS, OVERVIEW, Packed
from jaxmem.export.exported import CellPolicy, Exported, SizeRule, read_exported
from jaxmem.export.stablehlo import card_text, program_of
from jaxmem.policies.q_functions import AddressQ, Cells
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.hole_scorer import HoleScorer, Known, Live
from jaxmem.recordings.hole_table import new_hole_table
from jaxmem.recordings.profile import Profile
from jaxmem.recordings.profiled_policy import ProfiledPolicy

pytest.importorskip("flatbuffers")
HOLES, BATCH, CELLS = 20, 33, 5000
RULE = ProfiledPolicy(
    Profile(np.array([7], np.uint64), np.array([3], np.int32)),
    RuleNumbers(30, 64, (0, 1, 2, 3), ((0, 3),)),
)


def situations(batch: int = BATCH) -> dict[str, np.ndarray]:
    """Arenas with 1 to HOLES holes, some of which are long enough."""
    random = np.random.default_rng(batch)
    ends = np.sort(random.integers(0, CELLS, (batch, 2 * HOLES)), axis=1).reshape(batch, HOLES, 2)
    spare = np.arange(HOLES) >= random.integers(1, HOLES + 1, (batch, 1))
    ends[spare] = 0
    whole = {
        "size": random.integers(1, 200, batch),
        "cells": np.full(batch, CELLS),
        "cursor": random.integers(0, CELLS, batch),
        "foretold": random.choice([0, 3, 1000], batch),
        "live_units": random.integers(0, CELLS, batch),
        "live_blocks": random.integers(1, 90, batch),
    }
    parts = {name: random.random(batch).astype(np.float32) for name in ("died", "lived", "usual")}
    begins = random.random(batch) < 0.3
    low, high = np.moveaxis(ends.astype(np.int32), -1, 0)
    whole["contexts"] = random.integers(-1, 2, (batch, 3))
    numbers = {name: column.astype(np.int32) for name, column in whole.items()}
    return {"low": low, "high": high, **numbers, **parts, "begins": begins}


def chosen(policy, one: dict[str, jax.Array]) -> jax.Array:
    table = new_hole_table(CELLS, HOLES).replace(
        low=one["low"], high=one["high"], cursor=one["cursor"]
    )
    if isinstance(policy, SizeRule):
        return table.place(one["size"], policy.player)[1]
    names = ("size", "died", "lived", "begins", "usual", "foretold")
    known = Known(
        **{name: one[name] for name in names},
        given=jnp.bool_(False),
        contexts=one["contexts"],
        planned=jnp.int32(NOWHERE),
    )
    live = Live(one["live_units"], one["live_blocks"])
    player = policy if isinstance(policy, HoleScorer) else policy.player
    return player.place(table, one["cells"], known, live)[1]


@pytest.mark.parametrize(
    "exported",
    [
        Exported("classes", RULE),
        read_exported("learned"),
        *slow(read_exported("next"), read_exported("two_ended", 90)),
    ],
    ids=lambda exported: exported.name,
)
def test_a_batch_of_any_length_is_placed_as_each_alone(exported):
    program = program_of(exported, HOLES)
    read = export.deserialize(bytearray(program.serialized))
    assert set(read.platforms) == {"cpu", "cuda", "tpu"}
    card = json.loads(card_text(exported, program))
    names = [each["name"] for each in card["inputs"]]
    assert names[:3] == ["low", "high", "size"]
    alone = jax.jit(functools.partial(chosen, exported.policy))
    for batch in (1, BATCH):
        given = situations(batch)
        starts = np.asarray(read.call(*(given[name] for name in names)))
        assert starts.dtype == card["output"]["dtype"] == "int32"
        single = [int(alone({name: of[at] for name, of in given.items()})) for at in range(batch)]
        assert starts.tolist() == single
    assert len(set(single)) > BATCH / 2


def test_the_card_says_what_the_program_takes():
    exported = read_exported("learned")
    program = program_of(exported, HOLES)
    read = export.deserialize(bytearray(program.serialized))
    described = json.loads(card_text(exported, program))["inputs"]
    assert len(described) == len(read.in_avals) == 10
    for each, aval in zip(described, read.in_avals, strict=True):
        assert [str(length) for length in aval.shape] == [str(length) for length in each["shape"]]
        assert aval.dtype.name == each["dtype"]


def test_a_q_network_values_every_action_of_a_batch():
    exported = read_exported("generalist")
    policy = exported.policy
    assert isinstance(policy, CellPolicy)
    holes = policy.card.holes
    random = np.random.default_rng(0)
    whole = {"holes": (holes, 8), "size": (), "cells": (), "count": (), "shortest": ()}
    whole |= {"longest": (), "histogram": (BINS,)}
    given = {
        name: random.integers(1, 9, (BATCH, *shape)).astype(np.int32)
        for name, shape in whole.items()
    }
    given["hint"] = random.random(BATCH).astype(np.float32)
    given["overview"] = random.random((BATCH, len(OVERVIEW))).astype(np.float32)
    given["count"] = random.integers(0, holes + 1, BATCH).astype(np.int32)
    program = program_of(exported, HOLES)
    values = export.deserialize(bytearray(program.serialized)).call(
        *(given[name] for name in program.inputs)
    )
    packed = Packed(**{name: jnp.asarray(column) for name, column in given.items()})
    values_of = jax.vmap(lambda one: policy.card.q.values(policy.network, one))
    np.testing.assert_allclose(values, values_of(packed), rtol=1e-4, atol=1e-5)
    assert values.shape == (BATCH, 2 * holes + 1)
    assert np.isinf(np.asarray(values)).any()
    assert "base_policy" not in card_text(exported, program) or policy.card.base_policy


def test_a_network_of_addresses_takes_the_bitmap_and_the_mask():
    known = read_exported("generalist").policy
    assert isinstance(known, CellPolicy)
    card = replace(known.card, network="mlp", cells=12, hidden_sizes=(8,), base_policy=None)
    q = card.q
    assert isinstance(q, AddressQ)
    policy = CellPolicy(weights_of(q.init), card)
    program = program_of(Exported("mlp", policy), HOLES)
    random = np.random.default_rng(1)
    bitmap, legal = random.random((5, 13)).astype(np.float32), random.random((5, 13)) < 0.5
    read = export.deserialize(bytearray(program.serialized))
    values = q.values(policy.network, Cells(jnp.asarray(bitmap), jnp.asarray(legal)))
    np.testing.assert_allclose(read.call(bitmap, legal), values, rtol=1e-5)
