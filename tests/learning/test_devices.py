"""A run is the same, on however many devices and in however many processes it is trained."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxmem.learning.devices import check_devices
from jaxmem.learning.hosts import broadcast_from_first, gathered

PROGRAM = Path(__file__).with_name("trained_elsewhere.py")


def started(file, learner, devices, *processes, own_devices=None):
    own = devices if own_devices is None else own_devices
    flags = f"--xla_force_host_platform_device_count={own}"
    return subprocess.Popen(
        [sys.executable, PROGRAM, file, learner, str(devices), *map(str, processes)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(*programs):
    try:
        for program in programs:
            said, _ = program.communicate(timeout=250)
            assert program.returncode == 0, said
    finally:
        for program in programs:
            program.kill()


def leaves_of(file):
    with np.load(file) as found:
        return [found[name] for name in found.files]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def on_eight_and_on_one(tmp_path, learner):
    file = tmp_path / f"{learner}.npz"
    done(started(file, learner, 8))
    return leaves_of(file), leaves_of(f"{file}.alone.npz")


def assert_close(one, other):
    assert len(one) == len(other) > 0
    for leaf, alike in zip(one, other, strict=True):
        np.testing.assert_allclose(leaf, alike, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_eight_devices_learn_what_one_learns(tmp_path):
    assert_close(*on_eight_and_on_one(tmp_path, "pqn"))


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    _, alone = on_eight_and_on_one(tmp_path, "pqn")
    port, file = free_port(), tmp_path / "processes.npz"
    done(*(started(file, "pqn", 4, 2, index, port, own_devices=2) for index in (0, 1)))
    assert_close(leaves_of(file), alone)


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["dqn", "branching"])
def test_every_learner_learns_the_same_on_eight_devices(tmp_path, learner):
    assert_close(*on_eight_and_on_one(tmp_path, learner))


def test_a_machine_with_one_device_gives_one():
    assert check_devices("all", 7) == 1
    assert check_devices(1, 7) == 1


def test_all_devices_are_those_that_share_the_arenas_evenly(monkeypatch):
    monkeypatch.setattr("jax.devices", lambda: list(range(6)))
    assert [check_devices("all", arenas) for arenas in (12, 8, 7, 30)] == [6, 4, 1, 6]
    assert check_devices(3, 12) == 3
    with pytest.raises(ValueError, match="8 arenas cannot be shared evenly by 3 devices"):
        check_devices(3, 8)


@pytest.mark.parametrize("asked", [0, 7, -1, True, "none", 1.0, None])
def test_devices_that_are_not_there_are_refused(monkeypatch, asked):
    monkeypatch.setattr("jax.devices", lambda: list(range(6)))
    with pytest.raises(ValueError, match="all, or a number from 1 to the 6 there are"):
        check_devices(asked, 6)


def test_a_process_alone_agrees_with_itself():
    np.testing.assert_array_equal(gathered(3, 0), [[3, 0]])
    found = ({"leaf": np.arange(3)}, {"updates": 1})
    assert broadcast_from_first(found, None) == found
    assert broadcast_from_first(None, None) == (None, None)
