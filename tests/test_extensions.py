"""What a stranger registers is known to Python, to every command and to the page."""

import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest
from toy_learner import SETTINGS, TASK, ToyLearner

import jaxmem
from jaxmem import extensions
from jaxmem.app import choices
from jaxmem.cli import main
from jaxmem.environment.rewards import failures
from jaxmem.policies import policy
from jaxmem.policies.fits import random
from jaxmem.policies.networks import Scorer
from jaxmem.policies.policy_file import load_policy, save_policy
from jaxmem.recordings import read_trace
from jaxmem.recordings.formats import Format
from jaxmem.render.palette import policy_colour, policy_title
from jaxmem.settings.learner import PQNConfig, learner_settings
from jaxmem.workloads.registry import Workload, workload
from jaxmem.workloads.requests import requests_of

pytestmark = pytest.mark.usefixtures("_as_before")

STRANGER = """
import jax.numpy as jnp
from jaxmem.workloads.registry import Workload
from jaxmem.workloads.requests import requests_of

def draw(split, key, sequences, length):
    size = jnp.full((sequences, length), 4)
    return requests_of(size, jnp.full((sequences, length), 3))

player = Workload(name="anything", cells=16, draw=draw, length=24, warmup=4)

def apart(parameters, key, situation):
    arena, size = situation.arena, situation.size
    return jnp.where(size <= 3, arena.first(size), arena.last(size))

def squared(outcome):
    return jnp.where(outcome.placed, 0.0, -1.0 * outcome.size**2)

broken = 3
"""
POINTS = """
[jaxmem.register_workload]
video-player = strange_memory:player
[jaxmem.register_rule]
apart = strange_memory:apart
[jaxmem.register_reward]
squared = strange_memory:squared
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Installs a package of somebody else's, with entry points."""

    def install(points=POINTS):
        (tmp_path / "strange_memory.py").write_text(STRANGER, encoding="utf-8")
        info = tmp_path / "strange_memory-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: strange-memory\nVersion: 1\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "strange_memory", raising=False)
        extensions.load.cache_clear()

    yield install
    extensions.load.cache_clear()


def test_commands_know_what_a_package_registers_by_entry_points(stranger, capsys, tmp_path):
    stranger()
    words = ["workload=video-player", "policies=[first,apart]", "sequences=3", f"out={tmp_path}/a"]
    assert main(["compare", *words]) == 0
    assert "apart" in capsys.readouterr().out
    assert main(["compare", "workload=video-player", "cells=20", "--cfg", "job"]) == 0
    assert "source: video-player" in capsys.readouterr().out
    assert (
        main(["train", "workload=video-player", "environment.reward=squared", "--cfg", "job"]) == 0
    )
    assert main(["compare", "--help"]) == 0
    assert "video-player           registered from outside" in capsys.readouterr().out
    assert "video-player" in choices.workloads()
    assert "apart" in choices.player_names(trained=False)


def test_an_entry_point_that_cannot_be_is_left_out_with_a_warning(stranger):
    stranger("[jaxmem.register_rule]\nbroken = strange_memory:broken\n")
    with pytest.warns(UserWarning, match="broken of jaxmem.register_rule is left out: ValueError"):
        extensions.load()
    with pytest.raises(ValueError, match="unknown policy 'broken'"):
        policy("broken")


def test_a_registered_workload_has_the_cells_that_are_asked_for():
    def draw(split, key, sequences, length):
        return requests_of(jnp.ones((sequences, length)), jnp.ones((sequences, length)))

    jaxmem.register_workload("ones", Workload(name="x", cells=8, draw=draw, length=9))
    assert (workload("ones").name, workload("ones").cells, workload("ones", 12).cells) == (
        *("ones", 8, 12),
    )
    with pytest.raises(ValueError, match="workload ones has no option 'capacity'"):
        workload("ones", capacity=3)
    assert "ones" in jaxmem.tasks()


def test_a_registered_rule_plays_and_has_a_look():
    jaxmem.register_rule("anywhere", random, title="any place", colour="#123456")
    assert policy("anywhere").rule is random
    assert (policy_title("anywhere"), policy_colour("anywhere")) == ("any place", "#123456")


def share_free(situation, holes):
    free = situation.arena.free_cells() / situation.arena.cells
    return jnp.append(holes.length.astype(jnp.float32), free)


@pytest.mark.parametrize("named", [True, False])
def test_rewards_and_observations_are_functions_or_their_names(named):
    def doubled(outcome):
        return 2.0 * failures(outcome)

    observation, reward = share_free, doubled
    if named:
        jaxmem.register_observation("share_free", share_free)
        jaxmem.register_reward("doubled", doubled)
        observation, reward = "share_free", "doubled"
    env, params = jaxmem.make(
        *("memoryless",), cells=32, sequences=2, holes=3, observation=observation, reward=reward
    )
    seen, state = jax.jit(env.reset)(jax.random.key(0), params)
    assert seen.shape == env.observation_shape == env.observation_space.shape == (4,)
    assert seen.tolist() == [32.0, 0.0, 0.0, 1.0]
    assert env.observation_space.contains(seen)
    refuse = env.num_actions - 1
    assert jax.jit(env.step)(None, state, refuse, params)[2] == -2.0


class Like(Scorer):
    """The usual network by another name."""


@dataclass(frozen=True)
class Wandering(ToyLearner):
    """A learner with settings of its own."""

    @dataclass(frozen=True)
    class Config(PQNConfig):
        steps: int = 5_000


@pytest.fixture
def _wandering(_as_before):
    jaxmem.register_network("like", Like)
    jaxmem.register_learner("wandering", Wandering)


@pytest.mark.usefixtures("_wandering")
def test_a_registered_learner_and_network_are_choices(capsys):
    words = ["learner=wandering", "network=like", "network.hidden_sizes=[5]", "--cfg", "job"]
    assert main(["train", *words]) == 0
    said = capsys.readouterr().out
    assert "name: wandering" in said
    assert "steps: 5000" in said
    assert "name: like" in said
    assert learner_settings("wandering", {}).name == "wandering"
    assert main(["train", "network=likes", "--cfg", "job"]) == 2
    assert "unknown network 'likes'; did you mean like?" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("_wandering")
def test_a_registered_learner_trains_a_registered_network(tmp_path):
    result = jaxmem.train(TASK, learner="wandering", network="like", **SETTINGS)
    assert (result.card.network, result.card.training["learner"]) == ("like", "wandering")
    assert isinstance(result.card.q.network, Like)
    path = tmp_path / "mine.safetensors"
    save_policy(path, result.policy.parameters.network, result.card)
    assert load_policy(path).name == "learned"


def test_a_registered_format_is_told_and_read(tmp_path):
    mine = Format("?", lambda head: head.startswith(b"MINE"), lambda source: source)
    jaxmem.register_format("mine", mine)
    file = tmp_path / "a.mine"
    file.write_bytes(b"MINE\n")
    assert read_trace(file).format == "mine"


@pytest.mark.parametrize(
    ("kind", "name", "thing", "said"),
    [
        ("workload", "comb", 3, "workload 'comb' is there already: choose another name"),
        ("workload", "mine", 3, "workload 'mine' must be a Workload"),
        ("rule", "best", random, "rule 'best' is there already"),
        ("rule", "generalist", random, "rule 'generalist' is there already"),
        ("rule", "Best fit", random, "rule name 'Best fit': small letters, digits, - and _"),
        ("reward", "bytes", failures, "reward 'bytes' is there already"),
        ("reward", "mine", "failures", "reward 'mine' must be a function of an Outcome"),
        ("observation", "bitmap", share_free, "observation 'bitmap' is there already"),
        ("network", "mlp", Scorer, "network 'mlp' is there already"),
        ("network", "mine", failures, "network 'mine' must be a subclass of Scorer"),
        ("learner", "mine", Scorer, "learner 'mine' must be a class with its settings as Config"),
        ("format", "mine", failures, "format 'mine' must be a Format"),
    ],
)
def test_what_cannot_be_registered_is_said_in_one_line(kind, name, thing, said):
    with pytest.raises(ValueError, match=said) as error:
        getattr(jaxmem, f"register_{kind}")(name, thing)
    assert "\n" not in str(error.value)


def test_a_rule_has_a_colour_that_is_one():
    with pytest.raises(ValueError, match="colour of rule mine is 'red'"):
        jaxmem.register_rule("mine", random, colour="red")
