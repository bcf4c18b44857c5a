"""A whole training run: it learns, it can be repeated, and it can be stopped at any time."""

import json
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import scorer_weights

from jaxmem.environment.observations import FEATURES
from jaxmem.evaluation.run import failed_share
from jaxmem.learning import learners, loop, pqn
from jaxmem.learning.collect import Arenas, Steps
from jaxmem.learning.learner import Metrics
from jaxmem.learning.pqn import PQN, PQNState
from jaxmem.learning.train import train
from jaxmem.policies import CLASSICAL, policy
from jaxmem.settings.learner import EvaluationConfig
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

SMALL, MOST_SMALL, LARGE, MOST_LARGE = 1, 6, 10, 3


def draw(split, key, sequences, length):
    """Single cells that live long and blocks of 10 that do not, so many at once as fill the arena.

    With single cells at the low end and the others at the high end nothing ever fails: the holes
    between equal blocks are as long as the blocks. Any other order cuts the arena up.
    """
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    size, lifetime = np.zeros((2, sequences, length), np.int32)
    for sequence in range(sequences):
        live = {SMALL: [], LARGE: []}  # (death, birth) of each
        for now in range(length):
            live = {cells: [at for at in of if at[0] > now] for cells, of in live.items()}
            cells = SMALL if random.random() < 0.4 else LARGE
            if len(live[cells]) == (MOST_SMALL if cells == SMALL else MOST_LARGE):
                soonest = min(live[cells])
                live[cells].remove(soonest)
                lifetime[sequence, soonest[1]] = now - soonest[1]
            lives = int(random.integers(8, 30) if cells == SMALL else random.integers(2, 6))
            live[cells].append((now + lives, now))
            size[sequence, now], lifetime[sequence, now] = cells, lives
    return requests_of(size, lifetime)


TASK = Workload(
    name="two-sizes",
    cells=SMALL * MOST_SMALL + LARGE * MOST_LARGE,
    draw=draw,
    length=40,
    warmup=8,
)
SETTINGS = {
    "holes": 3,
    "steps": 160_000,
    "arenas": 32,
    "rollout": 32,
    "minibatches": 16,
    "gamma": 0.95,
    "hidden_sizes": [32],
    "evaluation": EvaluationConfig(training_sequences=256, validation_sequences=24),
}
LATE, VALIDATIONS = SETTINGS["evaluation"].late, SETTINGS["evaluation"].validations
UPDATES = -(-SETTINGS["steps"] // (32 * 32))


class Seen:
    """What a run tells, draws and judges."""

    def __init__(self, interrupt_after=None):
        self.begun, self.reports, self.drawn, self.judged = [], [], [], []
        self.interrupt_after = interrupt_after

    def started(self, references, steps, members):
        assert list(members) == [0]
        self.begun.append((references, steps))

    def report(self, member, at):
        assert member == 0
        self.reports.append(at)
        if len(self.reports) == self.interrupt_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def run():
    """A run, and what was seen of it."""
    seen = Seen()
    judge, requests = loop.failed_share, Workload.requests

    def judged(player, *arguments):
        # Copies: the buffers of a training state are given away to the next block.
        kept = jax.tree.map(lambda leaf: np.array(leaf, copy=True), player.parameters)
        seen.judged.append((player.name, kept, judge(player, *arguments)))
        return seen.judged[-1][-1]

    def drawn(self, split, seed, sequences):
        seen.drawn.append((split, seed))
        return requests(self, split, seed, sequences)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(loop, "failed_share", judged)
        monkeypatch.setattr(Workload, "requests", drawn)
        result = train(
            TASK,
            "pqn",
            seed=1,
            listeners=[seen],
            **SETTINGS,
        )
    return result, seen


@pytest.fixture(scope="module")
def test_sequences():
    return TASK.requests("test", 1, 24)


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_the_optimum_is_known(test_sequences):
    two_ended = policy("two_ended", jnp.int32(SMALL))
    assert failed_share(two_ended, test_sequences, TASK) == 0
    assert failed_share(policy("first"), test_sequences, TASK) > 5


def test_the_learned_policy_beats_every_fit_on_sequences_it_has_not_seen(run, test_sequences):
    learned = failed_share(run[0].policy, test_sequences, TASK)
    fits = {name: failed_share(policy(name), test_sequences, TASK) for name in CLASSICAL}
    assert learned < 0.4 * fits["first"]
    assert learned < 0.7 * min(fits.values())


def test_the_policy_returned_is_the_one_of_the_last_quarter_that_failed_least(run):
    result, seen = run
    learned = [(failed, kept) for name, kept, failed in seen.judged if name == "learned"]
    learned = learned[1:]  # the first is the network before it learns
    assert len(learned) == len(result.curve)
    late = [at for at, point in enumerate(result.curve) if point.steps > LATE * result.steps]
    best, parameters = min((learned[at] for at in late), key=lambda pair: pair[0])
    assert best == min(result.curve[at].failed for at in late)
    assert 1 < len(late) < len(result.curve) / 2
    assert same(result.policy.parameters, parameters)
    assert result.card.training["validation_failed"] == best


def test_a_run_draws_training_and_validation_sequences_only(run):
    assert sorted(set(run[1].drawn)) == [("train", 1), ("validation", 1)]


def test_reports_come_after_every_block_and_count_steps_and_sequences(run):
    result, seen = run
    assert tuple(seen.reports) == result.curve
    assert VALIDATIONS - 3 <= len(result.curve) <= VALIDATIONS
    steps = [point.steps for point in result.curve]
    assert steps == sorted(set(steps))
    assert steps[-1] == result.steps == UPDATES * 32 * 32
    assert result.episodes == result.curve[-1].episodes
    # An arena that joins in the middle ends its first sequence early.
    assert 0 <= result.episodes - result.steps // TASK.length <= 32
    for before, after in zip(result.curve, result.curve[1:], strict=False):
        assert after.seconds > before.seconds
    assert result.seconds >= result.curve[-1].seconds
    for point in result.curve:
        assert all(np.isfinite(value) for value in asdict(point).values())
        assert 0 <= point.exploring_failed <= 100
        assert point.steps_per_second > 0
    assert result.note == ""


def test_the_fits_are_told_before_the_first_step(run):
    result, seen = run
    references, steps = seen.begun[0]
    assert len(seen.begun) == 1
    assert steps == result.steps
    assert references == result.references
    validation = TASK.requests("validation", 1, 24)
    for name in CLASSICAL:
        assert references[name] == failed_share(policy(name), validation, TASK)
    assert set(references) == set(CLASSICAL)


def test_the_card_says_how_the_policy_was_made(run):
    result, _ = run
    card = result.card
    assert (card.holes, card.hidden_sizes) == (3, (32,))
    assert card.training["workload"] == "two-sizes"
    assert card.training["cells"] == TASK.cells
    assert card.training["seed"] == result.seed == 1
    assert card.training["steps"] == result.steps
    assert card.training["settings"]["gamma"] == 0.95
    json.dumps(asdict(card), allow_nan=False)


@pytest.mark.slow
def test_a_seed_repeats_a_run_to_the_last_bit(run):
    first, _ = run
    again = train(TASK, "pqn", seed=1, **SETTINGS)
    assert same(first.policy.parameters, again.policy.parameters)
    assert [point.loss for point in first.curve] == [point.loss for point in again.curve]


def test_another_seed_is_another_run(run):
    other = train(TASK, "pqn", seed=2, listeners=[Seen(interrupt_after=1)], **SETTINGS)
    assert run[0].curve[0].loss != other.curve[0].loss


def test_an_interrupted_run_returns_what_was_learnt_so_far(run):
    whole, seen = run
    result = train(TASK, "pqn", seed=1, listeners=[Seen(interrupt_after=6)], **SETTINGS)
    assert len(result.curve) == 6
    assert result.steps == whole.curve[5].steps
    assert result.episodes == whole.curve[5].episodes
    assert result.note == f"interrupted after {result.steps:,} steps"
    assert [point.loss for point in result.curve] == [point.loss for point in whole.curve[:6]]
    learned = [(failed, kept) for name, kept, failed in seen.judged if name == "learned"]
    learned = learned[1:]  # the first is the network before it learns
    assert same(result.policy.parameters, min(learned[:6], key=lambda pair: pair[0])[1])


def test_a_run_interrupted_before_the_first_report_returns_the_network_of_its_seed(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_validation_updates", interrupt)
    result, other = (train(TASK, "pqn", seed=seed, **SETTINGS) for seed in (1, 2))
    assert (result.steps, result.episodes, result.curve) == (0, 0, ())
    assert result.note == "interrupted after 0 steps"
    assert result.card.training["validation_failed"] is None
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.policy.parameters))
    assert not same(result.policy.parameters, other.policy.parameters)


def scripted(scale_of, loss_of):
    """A learner whose parameters after each block are those before times `scale_of(update)`."""
    parameters = scorer_weights((32,))

    class Scripted(PQN):
        def init(self, key, params, base_policy, numbers):
            nothing = jnp.zeros(())
            return PQNState(parameters, nothing, nothing, key, numbers, jnp.zeros((), jnp.int32))

        def update(self, state, params):
            updates = state.updates + 1
            after = jax.tree.map(lambda leaf: leaf * scale_of(updates), state.parameters)
            metrics = Metrics(loss_of(updates), jnp.float32(0.5), jnp.int32(2))
            return state.replace(parameters=after, updates=updates), metrics

    return Scripted


@pytest.mark.parametrize("what", ["parameters", "loss"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_run_stops_where_it_is_no_longer_finite_and_keeps_what_was_good(what, value, monkeypatch):
    def spoilt(update, of):
        return jnp.where((update >= 4) & (what == of), value, 1.0)

    make = scripted(lambda at: spoilt(at, "parameters"), lambda at: spoilt(at, "loss"))
    monkeypatch.setitem(learners.LEARNERS, "pqn", make)
    settings = {**SETTINGS, "steps": 6 * 32 * 32}
    result = train(TASK, "pqn", seed=1, **settings)
    assert result.steps == 3 * 32 * 32
    assert len(result.curve) == 3
    assert result.note == "stopped at step 4,096: the loss was no longer finite"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.policy.parameters))


def test_the_episodes_of_a_run_are_those_of_its_steps(monkeypatch):
    make = scripted(lambda at: 1.0, lambda at: jnp.where(at >= 4, jnp.nan, 1.0))
    monkeypatch.setitem(learners.LEARNERS, "pqn", make)
    result = train(TASK, "pqn", seed=1, **{**SETTINGS, "steps": 6 * 32 * 32})
    assert result.episodes == result.curve[-1].episodes == 6


def test_a_run_interrupted_while_it_judges_counts_what_it_has_judged(monkeypatch):
    def judge(player, *_):
        judged.append(player.name)
        if judged.count("learned") == 4:  # the first is the network before it learns
            raise KeyboardInterrupt
        return 1.0

    judged = []
    monkeypatch.setitem(
        learners.LEARNERS, "pqn", scripted(lambda at: 1.0, lambda at: jnp.float32(0))
    )
    monkeypatch.setattr(loop, "failed_share", judge)
    result = train(TASK, "pqn", seed=1, **{**SETTINGS, "steps": 6 * 32 * 32})
    assert (len(result.curve), result.steps) == (2, 2 * 32 * 32)
    assert result.episodes == result.curve[-1].episodes == 4


def test_an_absurd_learning_rate_ends_a_run_early_and_leaves_a_usable_policy(
    monkeypatch, test_sequences
):
    """On made-up steps, because playing is most of what would be compiled."""
    shape = (SETTINGS["rollout"], SETTINGS["arenas"])
    row = jax.random.normal(jax.random.key(0), (*shape, len(FEATURES)))
    zero, no = jnp.zeros(shape), jnp.zeros(shape, bool)
    steps = Steps(row=row, reward=zero - 1, value=zero, terminated=no, truncated=no, placed=no)

    def start_arenas(env, params, key, count):
        return Arenas(row[:1], jnp.zeros(count))

    def collect(env, params, q, network, arenas, *_):
        return arenas, steps, zero[0]

    monkeypatch.setattr(pqn, "start_arenas", start_arenas)
    monkeypatch.setattr(pqn, "collect", collect)
    monkeypatch.setitem(learners.LEARNERS, "pqn", PQN)
    result = train(TASK, "pqn", seed=1, learning_rate=1e30, **SETTINGS)
    assert "no longer finite" in result.note
    assert result.steps < UPDATES * 32 * 32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.policy.parameters))
    assert failed_share(result.policy, test_sequences, TASK) < 100


@pytest.mark.parametrize("updates", [1, 19, 20, 21, 157, 733])
def test_blocks_are_all_updates_in_at_most_20_parts(updates, monkeypatch):
    make = scripted(lambda at: 1.0, lambda at: jnp.float32(0.0))
    monkeypatch.setitem(learners.LEARNERS, "pqn", make)
    monkeypatch.setattr(loop, "failed_share", lambda *_: 1.0)
    result = train(TASK, "pqn", **{**SETTINGS, "steps": updates * 32 * 32})
    assert result.steps == updates * 32 * 32
    assert len(result.curve) == min(updates, len(result.curve)) <= VALIDATIONS
    sizes = np.diff([0, *(point.steps for point in result.curve)])
    assert len(set(sizes[:-1].tolist())) <= 1
