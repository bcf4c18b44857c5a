"""Members of a grid are the runs that they would be alone; programs are as few as can be."""

import dataclasses

import jax
import numpy as np
import pytest
from toy_learner import SETTINGS, TASK, in_place_of_pqn

from jaxmem.learning.checkpoint import Checkpointing, Checkpoints
from jaxmem.learning.config import train_config
from jaxmem.learning.grid import grid_of, train_grid
from jaxmem.learning.learners import LEARNERS
from jaxmem.learning.members import Members, group_members
from jaxmem.learning.train import train
from jaxmem.policies import policy

RATES = [0.1, 0.01, 0.003]


class Heard:
    def __init__(self):
        self.begun, self.reports = [], []

    def started(self, references, steps, members):
        self.begun.append(list(members))

    def report(self, member, at):
        self.reports.append((member, at))


def config(**changes):
    return train_config(TASK, "pqn", **{**SETTINGS, **changes})


@pytest.fixture(scope="module", autouse=True)
def toy():
    with in_place_of_pqn():
        yield


@pytest.fixture(scope="module")
def swept():
    heard = Heard()
    grid = {"learning_rate": RATES[:2], "arenas": [8, 4]}
    return train_grid(grid_of(config(seed=7), grid, 2), listeners=[heard]), heard


def same(one, other):
    return all(
        np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (one, other)), strict=True)
    )


def close(one, other):
    return all(
        np.allclose(*pair, rtol=1e-3, atol=1e-5)
        for pair in zip(*map(jax.tree.leaves, (one, other)), strict=True)
    )


@pytest.mark.parametrize(
    ("first_of", "alike"), [(7, close), pytest.param(0, same, marks=pytest.mark.slow)]
)
def test_each_member_is_the_run_that_it_would_be_alone(swept, first_of, alike):
    """The last has another rate, number of arenas and seed than the grid was given.

    As XLA compiles for users they are the same to the last bit, which the fast settings of the
    other tests do not promise.
    """
    result, _ = swept
    assert [len(row) for row in result.members] == [2] * 4
    members = [
        (choice, seed, member)
        for choice, row in zip(result.grid.choices, result.members, strict=True)
        for seed, member in zip((7, 8), row, strict=True)
    ]
    for choice, seed, member in members[first_of:]:
        alone = train(TASK, "pqn", seed=seed, **{**SETTINGS, **choice})
        assert alike(member.policy.parameters, alone.policy.parameters)
        assert [at.failed for at in member.curve] == [at.failed for at in alone.curve]
        assert member.card == alone.card
        assert (member.steps, member.episodes) == (alone.steps, alone.episodes)
    first, *others = (member.policy.parameters for _, _, member in members)
    assert not any(close(first, other) for other in others)


def test_numbers_share_a_program_and_shapes_make_one_each(swept):
    _, heard = swept
    # Choices: rate by rate, arenas 8 and 4; member = choice * 2 + place of the seed.
    assert sorted(heard.begun) == [[0, 4, 1, 5], [2, 6, 3, 7]]
    told = {member for member, _ in heard.reports}
    assert told == set(range(8))


def test_the_best_choice_is_the_one_that_fails_least_in_validation(swept):
    result, _ = swept
    failed = [np.mean([one.validation_failed for one in row]) for row in result.members]
    assert result.best == int(np.argmin(failed))
    np.testing.assert_allclose(result.validation_failed.mean(axis=1), failed)


def test_choices_are_told_in_words(swept):
    result, _ = swept
    assert result.grid.titles[:2] == ["learning_rate 0.1, arenas 8", "learning_rate 0.1, arenas 4"]
    assert grid_of(config(), {}, 3).titles == ["as set"]


def test_a_grid_goes_on_where_it_was_stopped(swept, tmp_path):
    class Killed(BaseException):
        pass

    class Deadly(Heard):
        def report(self, member, at):
            super().report(member, at)
            if len(self.reports) == 40:  # in the second of two programs
                raise Killed

    def again(*listeners):
        def checkpointing(program):
            return Checkpointing(Checkpoints(tmp_path / str(program), lambda said: None), 0.0)

        grid = grid_of(config(seed=7), {"learning_rate": RATES[:2], "arenas": [8, 4]}, 2)
        return train_grid(grid, listeners=listeners, checkpointing=checkpointing)

    with pytest.raises(Killed):
        again(Deadly())
    result = again()
    for row, wanted in zip(result.members, swept[0].members, strict=True):
        for member, alone in zip(row, wanted, strict=True):
            assert same(member.policy.parameters, alone.policy.parameters)


def test_a_member_that_is_no_longer_finite_does_not_stop_the_others():
    result = train_grid(grid_of(config(), {"learning_rate": [1e38, 0.01]}))
    (lost,), (other,) = result.members
    assert "no longer finite" in lost.note
    assert other.note == ""
    assert len(other.curve) == 8
    assert result.best == 1


def test_side_by_side_members_learn_what_they_learn_one_by_one():
    """On an accelerator they are vmapped; here too, if asked to be."""
    alone = config()
    choices = tuple(dataclasses.replace(alone.settings, learning_rate=rate) for rate in RATES)
    members = Members(alone, (3, 4), choices, (None, None))
    params = members.params()
    ends = []
    for vectorised in (True, False):
        programs = members.programs(vectorised)
        begun = jax.jit(programs.init)(members.begin(), params)
        end, _ = jax.jit(programs.train_block)(begun, params, np.int32(5))
        ends.append(members.unstack(jax.device_get(end.parameters)))
    for one, other in zip(*ends, strict=True):
        for leaf, alike in zip(*map(jax.tree.leaves, (one, other)), strict=True):
            np.testing.assert_allclose(leaf, alike, atol=1e-5)


def test_guides_of_another_kind_make_a_program_of_their_own():
    branching = train_config(TASK, "branching")
    kinds = {
        0: policy("best"),
        1: policy("first"),
        2: policy("two_ended_tuned", np.ones(3, np.int32)),
    }
    groups = group_members(
        branching, (0, 1, 2), (branching.settings,), lambda name, seed: kinds[seed]
    )
    # best and first are one rule with another number, but their names tell them apart.
    assert sorted(group.seeds for group in groups) == [(0,), (1,), (2,)]
    assert set(LEARNERS) == {"pqn", "dqn", "branching"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grid": {"rate": [1.0]}}, "grid.rate: learner pqn has no such setting"),
        ({"grid": {"learning_rate": []}}, r"grid.learning_rate is \[\]; a list of values"),
        ({"grid": {"learning_rate": 1e-3}}, "grid.learning_rate is 0.001; a list of values"),
        ({"grid": {"learning_rate": "1,2"}}, "grid.learning_rate is '1,2'; a list of values"),
        ({"grid": {"gamma": [0.9, 0.9]}}, "grid.gamma has a value twice"),
        ({"grid": {"gamma": [0.9, 1.5]}}, "learner.gamma is 1.5"),
        ({"seeds": 0}, "seeds is 0; a whole number from 1 to 4,096"),
        ({"seeds": True}, "seeds is True"),
        ({"seeds": 4096, "grid": {"gamma": [0.9, 0.8]}}, "2 choices with 4096 seeds each; at most"),
        ({"seeds": 2, "seed": 2**32 - 1}, "seed is 4294967296"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        grid_of(config(seed=given.get("seed", 0)), given.get("grid", {}), given.get("seeds", 1))


def test_the_largest_seed_is_the_same_in_a_grid(swept):
    del swept
    seed = 2**32 - 1
    (member,) = train_grid(grid_of(config(seed=seed), {})).members[0]
    assert same(
        member.policy.parameters, train(TASK, "pqn", seed=seed, **SETTINGS).policy.parameters
    )
