"""What a stranger registers is known to Python, to every command and to the page."""

import importlib
import re
import sys
import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from toy_learner import SETTINGS, TASK, ToyLearner

import jaxmem
from jaxmem import dispatch, extensions
from jaxmem.app import choices
from jaxmem.cli import main
from jaxmem.environment.rewards import failures
from jaxmem.environment.tasks import tasks
from jaxmem.policies import policy
from jaxmem.policies.networks import Scorer
from jaxmem.policies.placement_rules import random
from jaxmem.policies.policy_file import load_policy, save_policy
from jaxmem.policies.q_functions import CandidateQ
from jaxmem.recordings import read_trace
from jaxmem.recordings.formats import Format, TraceError
from jaxmem.recordings.lines import Lines
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

    def install(points=POINTS, more=""):
        (tmp_path / "strange_memory.py").write_text(STRANGER + more, encoding="utf-8")
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


@pytest.mark.slow
def test_a_policy_is_trained_on_what_a_package_registers(stranger, capsys, tmp_path):
    stranger()
    counts = [f"evaluation.{of}_sequences=8" for of in ("tuning", "validation", "selection")]
    words = ["workload=video-player", "cells=10", "environment.reward=squared", *counts]
    words += ["learner.states=200", "learner.arenas=16", "sequences=4", "policies=[first,apart]"]
    assert main(["train", *words, f"out={tmp_path}/mine"]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^{name} +\d", said, re.M) for name in ("learned", "apart"))
    assert load_policy(tmp_path / "mine").name == "learned"


def test_an_entry_point_that_cannot_be_is_left_out_with_a_warning(stranger):
    stranger("[jaxmem.register_rule]\nbroken = strange_memory:broken\n")
    with pytest.warns(UserWarning, match="broken of jaxmem.register_rule is left out: ValueError"):
        extensions.load()
    with pytest.raises(ValueError, match="unknown policy 'broken'"):
        policy("broken")


REGISTERS = """
import jaxmem
jaxmem.register_workload("video-player", player)
jaxmem.register_rule("apart", apart, title="apart, by size")
assert "video-player" in jaxmem.tasks()
"""


@pytest.mark.filterwarnings("error")
def test_a_module_may_register_and_use_what_its_entry_points_name(stranger):
    stranger(more=REGISTERS)
    extensions.load()
    assert policy_title("apart") == "apart, by size"
    assert workload("video-player").cells == 16


def test_adapters_know_what_a_package_registers(stranger):
    stranger()
    importlib.reload(importlib.import_module("jaxmem.adapters"))
    assert "video-player" in tasks()


def test_the_program_says_in_one_line_what_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["jaxmem", "--version"])
    assert dispatch.main() == 0
    assert warnings.formatwarning("x", extensions.LeftOut, "a.py", 3) == "jaxmem: x\n"
    assert warnings.formatwarning("x", UserWarning, "a.py", 3).startswith("a.py:3: UserWarning: x")


def requests_like(size=3, lifetime=2, transposed=False):
    """Returns a `draw` with one size and one lifetime."""

    def draw(split, key, sequences, length):
        shape = (length, sequences) if transposed else (sequences, length)
        return requests_of(jnp.full(shape, size), jnp.full(shape, lifetime))

    return draw


def lost_file(*_):
    raise OSError("no file")


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (requests_like(lifetime=0), "workload mine draws a lifetime of 0; at least 1 request"),
        (requests_like(size=-2), "workload mine draws a size of -2; at least 1 cell"),
        (requests_like(transposed=True), r"draws size of shape \(9, 4\); \(4, 9\) was asked for"),
        (lambda *_: (1, 2), "draws tuple; it must be what requests_of makes"),
        (lambda key: None, "workload mine raises TypeError: .*takes 1 positional argument"),
        (lost_file, r"workload mine raises OSError: no file \(.*test_extensions.py, line \d+\)"),
    ],
)
def test_a_workload_that_draws_no_requests_is_refused_in_one_line(draw, said, capsys, tmp_path):
    mine = Workload(name="mine", cells=8, draw=draw, length=9, warmup=0)
    with pytest.raises(ValueError, match=said) as error:
        mine.requests("test", 0, 4)
    assert "\n" not in str(error.value)
    jaxmem.register_workload("mine", mine)
    words = ["workload=mine", "policies=[first]", "sequences=4", f"out={tmp_path}/a"]
    assert main(["compare", *words]) == 2
    assert re.search(f"^jaxmem: .*{said}", capsys.readouterr().err)


def test_a_workload_counts_some_of_its_requests():
    short = Workload(name="mine", cells=8, draw=requests_like(), length=9)
    with pytest.raises(ValueError, match="workload 'mine': warmup is 64; 0 to 8, so that some of"):
        jaxmem.register_workload("mine", short)
    assert "mine" not in jaxmem.tasks()


def test_requests_above_the_arena_are_told():
    wide = Workload(name="wide", cells=2, draw=requests_like(size=3), length=9, warmup=0)
    notes = jaxmem.compare(["first"], wide, sequences=2).results["notes"]
    assert "100.0 % of the requests ask for more than the 2 cells there are (up to 3)" in notes[0]


def branches(parameters, key, situation):
    return 0 if situation.size < 3 else 1


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            lambda *_: jnp.zeros(2, int),
            r"rule <lambda> returns int32\[2\]; it must be the start, int32",
        ),
        (lambda *_: jnp.float32(3), r"rule .* returns float32\[\]; it must be"),
        (lambda *_: "first", "rule .* returns str; it must be"),
        (lambda *_: None, "rule .* returns NoneType; it must be"),
        (
            branches,
            r"rule branches raises TracerBoolConversionError: .* \(.*extensions.py, line \d+\)",
        ),
    ],
)
def test_a_rule_that_gives_no_start_is_refused_in_one_line(rule, said, capsys, tmp_path):
    tiny = Workload(name="tiny", cells=8, draw=requests_like(), length=9, warmup=0)
    jaxmem.register_workload("tiny", tiny)
    jaxmem.register_rule("bad", rule)
    words = ["workload=tiny", "policies=[bad]", "sequences=1", f"out={tmp_path}/a"]
    assert main(["compare", *words]) == 2
    told = capsys.readouterr().err
    assert re.search(f"^jaxmem: {said}", told, re.M)
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (
            lambda outcome: jnp.where(outcome.placed, 0.0, jnp.nan),
            "reward bad returns nan for a request of 1 of 116 cells that failed; learners need",
        ),
        (lambda outcome: "good", "reward bad returns str; it must be a number"),
        (lambda outcome: jnp.zeros(3), r"reward bad returns float32\[3\]; it must be a number"),
        (lambda: 0.0, "reward bad raises TypeError"),
        (
            lambda outcome: 0.0 if outcome.placed else -1.0,
            r"reward bad raises TracerBoolConversionError: .*test_extensions.py, line \d+\)",
        ),
    ],
)
def test_a_reward_that_gives_no_number_is_refused_in_one_line(reward, said, capsys):
    jaxmem.register_reward("bad", reward)
    assert main(["train", "workload=comb", "environment.reward=bad"]) == 2
    told = capsys.readouterr().err
    assert re.search(f"^jaxmem: {said}", told, re.M)
    assert "Traceback" not in told


class Rowed(Scorer):
    """Forgets the last axis of its values."""

    @nn.compact
    def __call__(self, rows):
        return nn.Dense(1)(rows)


def test_a_network_that_gives_no_value_for_a_row_is_refused():
    jaxmem.register_network("rowed", Rowed)
    with pytest.raises(ValueError, match=r"network rowed, of a row, returns float32\[1, 1\]; it"):
        CandidateQ(4, (8,), scorer="rowed").init(jax.random.key(0))


def test_an_error_of_a_reader_is_told_with_the_line(tmp_path):
    def read(source):
        return [int(text) for text in Lines(source)]

    jaxmem.register_format("mine", Format("?", lambda head: head.startswith(b"1\n"), read))
    file = tmp_path / "a.mine"
    file.write_bytes(b"1\nx\n")
    with pytest.raises(TraceError, match=r"a.mine, line 2: format mine raises ValueError: invalid"):
        read_trace(file)


def test_an_observation_that_is_no_array_is_refused():
    env, _ = jaxmem.make("memoryless", cells=32, sequences=2, observation=lambda *_: [1, 2])
    with pytest.raises(ValueError, match="observation <lambda> returns list; it must be one array"):
        _ = env.observation_shape


def test_a_registered_workload_has_the_cells_that_are_asked_for():
    def draw(split, key, sequences, length):
        return requests_of(jnp.ones((sequences, length)), jnp.ones((sequences, length)))

    jaxmem.register_workload("ones", Workload(name="x", cells=8, draw=draw, length=9, warmup=2))
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
        ("reward", "nan", failures, "reward name 'nan' is no name on a command line"),
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
