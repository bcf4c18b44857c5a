"""Trainers that are compared, behind the same two calls: ours, and those of others, unchanged."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.environment.actions import ends_of
from jaxmem.environment.observations import candidates, pack
from jaxmem.environment.situation import Situation
from jaxmem.learning.base_policies import base_policies_for
from jaxmem.learning.config import train_config
from jaxmem.learning.members import Members
from jaxmem.learning.program import Program
from jaxmem.learning.result import policy_of
from jaxmem.policies import Policy

TASK = "large-short-lived"
SEQUENCES = 4096  # that are trained on
HOLES = 8  # that are offered, to all of them
# From parameters and what is seen of a situation (float32[n]) to the worth of actions: float32[A].
Values = Callable[[Any, jax.Array], jax.Array]


@dataclass
class Clock:
    """Counts training, and nothing beside it."""

    cpu: float = 0.0  # seconds, of all cores together
    wall: float = 0.0  # seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts what is done within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


class Trainer(Protocol):
    """A trainer that is compiled, before its first step."""

    @property
    def unit(self) -> int: ...  # environment steps that it does at once, over all arenas
    @property
    def units(self) -> int: ...  # in the whole run
    def advance(self, units: int) -> None: ...  # and waits for the end
    def player(self) -> Policy: ...  # what is learnt so far, acting greedily


class Script(Protocol):
    """A trainer that trains in one call, so that every point of its curve is a run of its own."""

    @property
    def unit(self) -> int: ...  # environment steps
    @property
    def units(self) -> int: ...  # in the longest run
    def compiled(self, units: int) -> Callable[[], object]: ...  # trains, and waits for the end
    def player(self, trained: Any) -> Policy: ...


class Ours:
    """A learner of this package; rules that it begins with are tuned on the clock."""

    def __init__(self, clock: Clock, seed: int, learner: str, **settings: Any) -> None:
        self.config = config = train_config(TASK, learner, seed=seed, devices=1, **settings)
        self.unit, self.units = config.settings.steps_per_update, config.settings.updates
        asked = config.settings.base_policy, config.task, seed, config.evaluation
        base_policies_for(*asked)  # so that its programs are compiled
        with clock.running():
            self.rules = base_policies_for(*asked)
        rule = self.rules[0].rule if self.rules else None
        members = Members(config, (seed,), (config.settings,), (rule,))
        self.params = members.params()
        program = Program(members.programs(), members.begin(), self.params, devices=1)
        self.block, self.state = program.compiled(self.params), program.start(self.params)

    def advance(self, units: int) -> None:
        self.state, metrics = self.block(self.state, self.params, np.int32(units))
        jax.block_until_ready(metrics)

    def player(self) -> Policy:
        return policy_of(self.config, jax.device_get(self.state.parameters), self.rules)


class Rejax:
    """An algorithm of rejax, iteration by iteration as its own `train` has them."""

    def __init__(
        self, clock: Clock, seed: int, algorithm: str, illegal: str, **settings: Any
    ) -> None:
        del clock
        env, params = _five_values(seed, illegal)
        get = import_module("rejax").get_algo(algorithm)
        self.trainer = trainer = get.create(env=env, env_params=params, **settings)
        self.unit = trainer.num_envs * getattr(trainer, "num_steps", 1)
        self.units = -(-trainer.total_timesteps // self.unit)
        self.state = jax.jit(trainer.init_state)(jax.random.key(seed))

        def block(state: Any, units: jax.Array) -> Any:
            return jax.lax.fori_loop(
                0, units, lambda _, state: trainer.train_iteration(state), state
            )

        self.block = jax.jit(block, donate_argnums=0).lower(self.state, np.int32(0)).compile()
        self.policy = "actor_ts" if algorithm == "ppo" else "q_ts"

        def values(parameters: Any, seen: jax.Array) -> jax.Array:
            if algorithm == "ppo":
                return trainer.actor.apply(parameters, seen[None], method="_action_dist").logits[0]
            return trainer.agent.apply(parameters, seen[None])[0]

        self.rule = greedy_rule(values)

    def advance(self, units: int) -> None:
        self.state = jax.block_until_ready(self.block(self.state, np.int32(units)))

    def player(self) -> Policy:
        return Policy(jax.device_get(getattr(self.state, self.policy).params), "", self.rule)


class MaskablePPO:
    """MaskablePPO of sb3-contrib on one arena, as the page on trainers has it."""

    def __init__(self, clock: Clock, seed: int, steps: int, **settings: Any) -> None:
        del clock
        import_module("jaxmem.adapters.gymnasium")
        env = import_module("gymnasium").make(
            f"jaxmem/{TASK}-v0", sequences=SEQUENCES, seed=seed, holes=HOLES
        )
        env.reset(seed=seed)
        env.step(0)  # so that its programs are compiled
        # Layers so small are no sooner done by two threads, which spin where the cores are taken.
        import_module("torch").set_num_threads(1)
        make = import_module("sb3_contrib").MaskablePPO
        self.model = make("MlpPolicy", env, seed=seed, device="cpu", **settings)
        self.unit = self.model.n_steps
        self.units = -(-steps // self.unit)
        self.rule = greedy_rule(tanh_layers)

    def advance(self, units: int) -> None:
        self.model.learn(units * self.unit, reset_num_timesteps=False)

    def player(self) -> Policy:
        actor = self.model.policy
        layers = [*actor.mlp_extractor.policy_net, actor.action_net]
        weights = [
            (layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
            for layer in layers
            if hasattr(layer, "weight")
        ]
        return Policy(weights, "", self.rule)


class WholeRun:
    """`make_train` of PureJaxRL and purejaxql, their files unchanged."""

    def __init__(
        self, clock: Clock, seed: int, script: str, illegal: str, steps: int, **settings: Any
    ) -> None:
        del clock
        make = functools.partial(
            import_module("jaxmem.adapters.five_values").make,
            illegal=illegal, sequences=SEQUENCES, seed=seed, holes=HOLES,
        )  # fmt: skip
        gymnax: Any = import_module("gymnax")
        gymnax.make = make
        self.script, self.settings = import_module(script), settings
        self.key = jax.random.PRNGKey(seed)
        self.unit = settings["NUM_ENVS"] * settings["NUM_STEPS"]
        self.units = -(-steps // self.unit)
        actions = make(TASK)[0].num_actions

        def values(parameters: Any, seen: jax.Array) -> jax.Array:
            if hasattr(self.script, "ActorCritic"):
                network = self.script.ActorCritic(actions, activation=settings["ACTIVATION"])
                return network.apply(parameters, seen)[0].logits
            named = {"hidden_size": "HIDDEN_SIZE", "norm_type": "NORM_TYPE"}
            network = self.script.QNetwork(
                actions, **{of: settings[is_] for of, is_ in named.items()}
            )
            return network.apply(parameters, seen[None], train=False)[0]

        self.rule = greedy_rule(values)

    def compiled(self, units: int) -> Callable[[], object]:
        # What decays does so over the longest run, where the script can tell the two apart.
        steps = {
            "TOTAL_TIMESTEPS": units * self.unit,
            "TOTAL_TIMESTEPS_DECAY": self.units * self.unit,
        }
        train = self.script.make_train({**self.settings, **steps, "ENV_NAME": TASK})
        ready = jax.jit(train).lower(self.key).compile()
        return lambda: jax.block_until_ready(ready(self.key))

    def player(self, trained: Any) -> Policy:
        state = jax.device_get(trained["runner_state"][0])
        weights = state.params
        if hasattr(state, "batch_stats"):
            weights = {"params": weights, "batch_stats": state.batch_stats}
        return Policy(weights, "", self.rule)


@dataclass(frozen=True)
class Entry:
    """One of those that are compared."""

    title: str
    make: Callable[..., Any]  # a Trainer or a Script, from clock and seed, and the settings
    settings: dict[str, Any] = field(default_factory=dict)
    needs: str = ""  # the option that names an interpreter which has its packages; ours: none
    packages: tuple[str, ...] = ()  # whose versions are told


REJAX = {"needs": "rejax", "packages": ("rejax", "gymnax")}
SCRIPTS = {"needs": "purejax", "packages": ("gymnax", "distrax")}
ENTRIES = {
    "branching": Entry("jaxmem branching", Ours, {"learner": "branching"}),
    "pqn": Entry("jaxmem PQN", Ours, {"learner": "pqn"}),
    "dqn": Entry("jaxmem DQN", Ours, {"learner": "dqn"}),
    "rejax_pqn": Entry("rejax PQN", Rejax, {
        "algorithm": "pqn", "illegal": "fails", "total_timesteps": 3_000_000,
        "num_envs": 64, "num_steps": 32, "num_epochs": 2, "exploration_fraction": 0.5,
        "learning_rate": 5e-4, "max_grad_norm": 10.0,
    }, **REJAX),
    "rejax_dqn": Entry("rejax DQN", Rejax, {
        "algorithm": "dqn", "illegal": "wraps", "total_timesteps": 400_000,
        "num_envs": 32, "buffer_size": 50_000, "batch_size": 128, "num_epochs": 4,
        "exploration_fraction": 0.5, "target_update_freq": 2000, "polyak": 0.0,
        "learning_rate": 5e-4,
    }, **REJAX),
    "rejax_ppo": Entry("rejax PPO", Rejax, {
        "algorithm": "ppo", "illegal": "fails", "total_timesteps": 3_000_000,
        "num_envs": 64, "num_steps": 64, "num_epochs": 4, "num_minibatches": 8,
        "gamma": 0.97, "learning_rate": 5e-4, "max_grad_norm": 0.5,
    }, **REJAX),
    "purejaxql_pqn": Entry("purejaxql PQN", WholeRun, {
        "script": "purejaxql.pqn_gymnax", "illegal": "fails", "steps": 2_000_000,
        "NUM_ENVS": 64, "NUM_STEPS": 32, "NUM_MINIBATCHES": 16, "NUM_EPOCHS": 2,
        "EPS_START": 1.0, "EPS_FINISH": 0.05, "EPS_DECAY": 0.5, "LR": 5e-4,
        "LR_LINEAR_DECAY": True, "MAX_GRAD_NORM": 10.0, "GAMMA": 0.99, "LAMBDA": 0.9,
        "HIDDEN_SIZE": 128, "NORM_TYPE": "layer_norm", "WANDB_MODE": "disabled",
    }, **SCRIPTS),
    "purejaxrl_ppo": Entry("PureJaxRL PPO", WholeRun, {
        "script": "ppo", "illegal": "fails", "steps": 2_000_000,
        "NUM_ENVS": 64, "NUM_STEPS": 64, "NUM_MINIBATCHES": 8, "UPDATE_EPOCHS": 4, "LR": 5e-4,
        "ANNEAL_LR": True, "MAX_GRAD_NORM": 0.5, "GAMMA": 0.97, "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2, "ENT_COEF": 0.01, "VF_COEF": 0.5, "ACTIVATION": "tanh",
    }, **SCRIPTS),
    "maskable_ppo": Entry(
        "SB3 MaskablePPO", MaskablePPO,
        {"steps": 1_000_000, "n_steps": 1280, "batch_size": 256, "gamma": 0.97},
        needs="sb3", packages=("sb3-contrib", "stable-baselines3", "torch", "gymnasium"),
    ),
}  # fmt: skip


def greedy_rule(values: Values) -> Callable[[Any, jax.Array, Situation], jax.Array]:
    """Makes the rule that takes the legal action worth most, whatever was trained it sees."""

    def choose(parameters: Any, key: jax.Array, situation: Situation) -> jax.Array:
        del key
        found = situation.holes(HOLES)
        choices = ends_of(found)
        worth = values(parameters, candidates(pack(situation, found)).reshape(-1))
        return choices.start_of(situation, jnp.argmax(jnp.where(choices.legal, worth, -jnp.inf)))

    return choose


def tanh_layers(weights: list[tuple[jax.Array, jax.Array]], seen: jax.Array) -> jax.Array:
    """Computes layers of (float32[out, in], float32[out]) with tanh between them: float32[A]."""
    for weight, bias in weights[:-1]:
        seen = jnp.tanh(weight @ seen + bias)
    weight, bias = weights[-1]
    return weight @ seen + bias


def _five_values(seed: int, illegal: str) -> tuple[Any, Any]:
    make = import_module("jaxmem.adapters.five_values").make
    return make(TASK, illegal=illegal, sequences=SEQUENCES, seed=seed, holes=HOLES)
