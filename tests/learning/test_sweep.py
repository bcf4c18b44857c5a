"""Members of a sweep are the runs that they would be alone; programs are as few as can be."""

import dataclasses

import jax
import numpy as np
import pytest
from toy_learner import SETTINGS, in_place_of_pqn

from jaxmem.environment.environment import Environment
from jaxmem.learning.checkpoint import Checkpoints
from jaxmem.learning.learners import LEARNERS, check_training
from jaxmem.learning.members import Group, groups_of
from jaxmem.learning.sweep import grid_of, sweep
from jaxmem.learning.train import train
from jaxmem.learning.training import Keeping
from jaxmem.policies import policy
from jaxmem.workloads.registry import workload

TASK = workload("comb")
GAME = {"holes": 8, "reward": "failures"}
RATES = [0.1, 0.01, 0.003]


class Heard:
    def __init__(self):
        self.begun, self.reports = [], []

    def started(self, references, steps, members):
        self.begun.append(list(members))

    def report(self, member, at):
        self.reports.append((member, at))


@pytest.fixture(scope="module", autouse=True)
def toy():
    with in_place_of_pqn():
        yield


@pytest.fixture(scope="module")
def swept():
    heard = Heard()
    grid = {"learning_rate": RATES, "arenas": [8, 4]}
    return sweep("comb", "pqn", grid=grid, seeds=2, seed=7, listeners=[heard], **SETTINGS), heard


def same(one, other):
    return all(
        np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (one, other)), strict=True)
    )


def test_each_member_is_the_run_that_it_would_be_alone(swept):
    result, _ = swept
    assert [len(row) for row in result.members] == [2] * 6
    seen = []
    for choice, row in zip(result.grid.choices, result.members, strict=True):
        for seed, member in zip((7, 8), row, strict=True):
            alone = train("comb", "pqn", seed=seed, **{**SETTINGS, **choice})
            assert same(member.policy.parameters, alone.policy.parameters)
            assert [at.failed for at in member.curve] == [at.failed for at in alone.curve]
            assert member.card == alone.card
            assert (member.steps, member.episodes) == (alone.steps, alone.episodes)
            seen.append(member.policy.parameters)
    assert not any(same(seen[0], other) for other in seen[1:])


def test_numbers_share_a_program_and_shapes_make_one_each(swept):
    _, heard = swept
    # Choices: rate by rate, arenas 8 and 4; member = choice * 2 + place of the seed.
    assert sorted(heard.begun) == [[0, 4, 8, 1, 5, 9], [2, 6, 10, 3, 7, 11]]
    told = {member for member, _ in heard.reports}
    assert told == set(range(12))


def test_the_best_choice_is_the_one_that_fails_least_in_validation(swept):
    result, _ = swept
    failed = [np.mean([one.validation_failed for one in row]) for row in result.members]
    assert result.best == int(np.argmin(failed))
    np.testing.assert_allclose(result.validation_failed.mean(axis=1), failed)


def test_choices_are_told_in_words(swept):
    result, _ = swept
    assert result.grid.titles[:2] == ["learning_rate 0.1, arenas 8", "learning_rate 0.1, arenas 4"]
    assert grid_of(TASK, "pqn", {}, seed=0, seeds=3, **GAME).titles == ["as set"]


def test_a_sweep_goes_on_where_it_was_stopped(swept, tmp_path):
    class Killed(BaseException):
        pass

    class Deadly(Heard):
        def report(self, member, at):
            super().report(member, at)
            if len(self.reports) == 150:  # in the second of two programs
                raise Killed

    def again(*listeners):
        def keeping(program):
            return Keeping(Checkpoints(tmp_path / str(program), lambda said: None), 0.0)

        grid = {"learning_rate": RATES, "arenas": [8, 4]}
        settings = {**SETTINGS, "grid": grid, "seeds": 2, "seed": 7}
        return sweep("comb", "pqn", listeners=listeners, keeping=keeping, **settings)

    with pytest.raises(Killed):
        again(Deadly())
    result = again()
    for row, wanted in zip(result.members, swept[0].members, strict=True):
        for member, alone in zip(row, wanted, strict=True):
            assert same(member.policy.parameters, alone.policy.parameters)


def test_a_member_that_is_no_longer_finite_does_not_stop_the_others():
    grid = {"learning_rate": [1e38, 0.01]}
    result = sweep("comb", "pqn", grid=grid, **SETTINGS)
    (lost,), (other,) = result.members
    assert "no longer finite" in lost.note
    assert other.note == ""
    assert len(other.curve) == 19
    assert result.best == 1


def test_side_by_side_members_learn_what_they_learn_one_by_one():
    """On an accelerator they are vmapped; here too, if asked to be."""
    env, config = check_training(TASK, "pqn", seed=0, **GAME, **SETTINGS)
    choices = tuple(dataclasses.replace(config, learning_rate=rate) for rate in RATES)
    group = Group("pqn", env, (3, 4), choices, (None, None))
    params = group.params(TASK)
    ends = []
    for vectorised in (True, False):
        start, block = group.program(vectorised)
        end, _ = jax.jit(block)(jax.jit(start)(params), params, np.int32(5))
        ends.append(group.each(jax.device_get(end.parameters)))
    for one, other in zip(*ends, strict=True):
        for leaf, alike in zip(*map(jax.tree.leaves, (one, other)), strict=True):
            np.testing.assert_allclose(leaf, alike, atol=1e-5)


def test_guides_of_another_kind_make_a_program_of_their_own():
    env, config = check_training(TASK, "branching", seed=0, **GAME)
    assert isinstance(env, Environment)
    kinds = {0: policy("best"), 1: policy("first"), 2: policy("segregated", np.ones(3, np.int32))}
    groups = groups_of("branching", env, (0, 1, 2), (config,), lambda name, seed: kinds[seed])
    # best and first are one rule with another number, but their names tell them apart.
    assert sorted(group.seeds for group in groups) == [(0,), (1,), (2,)]
    assert set(LEARNERS) == {"pqn", "dqn", "branching"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grid": {"rate": [1.0]}}, "sweep.rate: learner pqn has no such setting"),
        ({"grid": {"learning_rate": []}}, r"sweep.learning_rate is \[\]; a list of values"),
        ({"grid": {"learning_rate": 1e-3}}, "sweep.learning_rate is 0.001; a list of values"),
        ({"grid": {"learning_rate": "1,2"}}, "sweep.learning_rate is '1,2'; a list of values"),
        ({"grid": {"gamma": [0.9, 0.9]}}, "sweep.gamma has a value twice"),
        ({"grid": {"gamma": [0.9, 1.5]}}, "learner.gamma is 1.5"),
        ({"seeds": 0}, "seeds is 0; a whole number from 1 to 4,096"),
        ({"seeds": True}, "seeds is True"),
        ({"seeds": 4096, "grid": {"gamma": [0.9, 0.8]}}, "2 choices with 4096 seeds each; at most"),
        ({"seeds": 2, "seed": 2**32 - 1}, "seed is 4294967296"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        sweep("comb", "pqn", **{"seeds": 1, **given}, **SETTINGS)


def test_the_largest_seed_is_the_same_in_a_sweep(swept):
    del swept
    seed = 2**32 - 1
    (member,) = sweep("comb", "pqn", seed=seed, **SETTINGS).members[0]
    assert same(
        member.policy.parameters, train("comb", "pqn", seed=seed, **SETTINGS).policy.parameters
    )
