"""Trainers of others, their files unchanged, on the game: run as

uv run --extra test --extra trainers pytest -m slow tests/adapters/test_foreign_trainers.py

PureJaxRL and purejaxql are no packages that go with ours (the second names jax up to 0.4.38): their
checkouts are on PYTHONPATH, as purejaxrl/purejaxrl:purejaxql, beside gymnax 0.0.9, distrax, brax,
navix and wandb.
"""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.environment.actions import ends_of
from jaxmem.evaluation.run import failed_share
from jaxmem.policies import Policy
from jaxmem.workloads.registry import workload

# What others warn of in their own files is not ours to mend.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
STEPS = 200_000
TASK = "large-short-lived"
SB3_STEPS, SB3_TEST = 40_960, 9600  # one arena at a time


def failed_at_random(env, params):
    """Measures what placements at random fail in 128 episodes, in %."""
    from rejax.evaluate import evaluate

    def act(seen, key):
        del seen
        return jax.random.randint(key, (), 0, env.num_actions)

    return failed(evaluate(act, jax.random.key(1), env, params, 128))


def random_end(parameters, key, situation):
    """Takes one of the first holes that fit, at one of its ends."""
    choices = ends_of(situation.holes(8))
    action = jax.random.categorical(key, jnp.where(choices.legal, 0.0, -jnp.inf))
    return choices.start_of(situation, action)


def failed(evaluated):
    lengths, returns = evaluated
    return -100 * float(np.sum(returns) / np.sum(lengths))


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (
            "pqn",
            {"num_envs": 64, "num_steps": 32, "num_epochs": 2, "exploration_fraction": 0.5,
             "learning_rate": 5e-4, "max_grad_norm": 10.0},
        ),
        (
            "dqn",
            {"num_envs": 32, "buffer_size": 50_000, "batch_size": 128, "num_epochs": 4,
             "exploration_fraction": 0.5, "target_update_freq": 2000, "polyak": 0.0,
             "learning_rate": 5e-4},
        ),
    ],
)  # fmt: skip
def test_rejax_learns_to_fail_less_than_random_placement(algorithm, settings):
    rejax = pytest.importorskip("rejax", reason="needs the extra trainers")
    from jaxmem.adapters.five_values import make

    env, params = make(TASK)
    trainer = rejax.get_algo(algorithm).create(
        env=env, env_params=params, total_timesteps=STEPS, eval_freq=STEPS, **settings
    )
    _, evaluated = jax.jit(trainer.train)(jax.random.key(0))
    learned = failed([of[-1] for of in evaluated])
    at_random = failed_at_random(env, params)
    print(f"rejax {algorithm}: {learned:.2f} % failed, random {at_random:.2f} %")
    assert learned < at_random


@pytest.mark.parametrize("name", ["purejaxql_pqn", "purejaxrl_ppo"])
def test_a_script_learns_to_fail_less_than_random_placement(name, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    trainers = importlib.import_module("raced_trainers")
    entry = trainers.ENTRIES[name]
    pytest.importorskip(entry.settings["script"], reason="needs its file, and gymnax below 1")
    monkeypatch.setattr("gymnax.make", None)  # so that what the script is handed is taken back
    script = entry.make(trainers.Clock(), 0, **{**entry.settings, "steps": STEPS})
    task = workload(TASK)
    requests = task.requests("validation", 0, 256)
    learned = failed_share(script.player(script.compiled(script.units)()), requests, task)
    at_random = failed_share(Policy(None, "", random_end), requests, task)
    print(f"{entry.title}: {learned:.2f} % failed, random {at_random:.2f} %")
    assert learned < at_random


def test_maskable_ppo_learns_to_fail_less_than_random_placement():
    gymnasium = pytest.importorskip("gymnasium", reason="needs the extra gymnasium")
    contrib = pytest.importorskip("sb3_contrib", reason="needs the extra trainers, and torch")
    import torch

    import jaxmem.adapters.gymnasium  # noqa: F401

    torch.set_num_threads(1)  # two would wait for each other, spinning, wherever cores are taken
    env = gymnasium.make(f"jaxmem/{TASK}-v0")
    model = contrib.MaskablePPO(
        "MlpPolicy", env, n_steps=1280, batch_size=256, gamma=0.97, seed=0, device="cpu"
    )

    def share_failed(choose):
        seen, _ = env.reset(seed=1)
        failed = 0
        for _ in range(SB3_TEST):
            mask = env.unwrapped.action_masks()
            seen, reward, terminated, truncated, _ = env.step(choose(seen, mask))
            failed -= reward
            if terminated or truncated:
                seen, _ = env.reset()
        return 100 * failed / SB3_TEST

    draw = np.random.default_rng(0)
    at_random = share_failed(lambda seen, mask: int(draw.choice(np.flatnonzero(mask))))
    model.learn(SB3_STEPS)
    learned = share_failed(lambda seen, mask: int(model.predict(seen, action_masks=mask)[0]))
    print(f"MaskablePPO: {learned:.2f} % failed, random {at_random:.2f} %")
    assert learned < at_random
