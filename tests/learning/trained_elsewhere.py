"""Trains for 20 updates with the devices and processes that the command line says, as a program.

python trained_elsewhere.py FILE LEARNER DEVICES [PROCESSES INDEX PORT]; one process also trains on
one of its devices alone, for FILE.alone.npz
"""

import sys

import jax
import numpy as np

from jaxmem.learning import hosts
from jaxmem.learning.train import train
from jaxmem.settings.learner import EvaluationConfig

SETTINGS = {
    "pqn": {"steps": 20 * 16 * 16, "rollout": 16, "minibatches": 4},
    "dqn": {
        "steps": 20 * 16 * 16,
        "rollout": 16,
        "learning_starts": 256,
        "buffer": 2048,
        "batch": 32,
        "gradient_steps": 4,
    },
    "branching": {
        "states": 20 * 16,
        "horizon": 6,
        "buffer_updates": 8,
        "minibatch": 64,
        "base_policy": "best",
    },
}


def main(file, learner, devices, processes="1", index="0", port="0"):
    if processes != "1":
        hosts.join(int(processes), int(index), f"127.0.0.1:{port}")
    assert len(jax.devices()) == int(devices)
    keep(file, network(learner, "all"))
    if processes == "1":
        keep(f"{file}.alone.npz", network(learner, 1))
    hosts.barrier("saved")


def network(learner, devices):
    small = {"arenas": 16, "hidden_sizes": [16], "holes": 4}
    few = EvaluationConfig(training_sequences=64, validation_sequences=16, validations=1)
    result = train(
        "large-short-lived",
        learner,
        devices=devices,
        evaluation=few,
        **small,
        **SETTINGS[learner],
    )
    return jax.tree.leaves(jax.device_get(result.policy.parameters.network))


def keep(file, leaves):
    if hosts.is_first():
        np.savez(file, *leaves)


if __name__ == "__main__":
    main(*sys.argv[1:])
