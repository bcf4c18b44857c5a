"""What rounds of timings are summed up in."""

import os
import signal
import time

import jax
import jax.numpy as jnp
import pytest

from jaxmem.benchmark.timing import (
    Rate,
    compiled_afresh,
    interrupts_held,
    median_ratio,
    rates,
    summary,
    time_for,
)


class Sleeper:
    """A program that takes 10 ms of the clock and no CPU, for 50 steps."""

    steps = 50

    def __init__(self):
        self.calls = 0

    def once(self):
        self.calls += 1
        time.sleep(0.01)


def test_a_timing_has_at_least_one_call():
    program = Sleeper()
    rate = time_for(program, 1e-9)
    assert program.calls == 1
    assert rate.per_second < 5000


def test_a_timing_goes_on_for_its_seconds():
    program = Sleeper()
    rate = time_for(program, 0.05)
    assert 2 <= program.calls <= 6
    assert rate.per_second < 5000


def test_cpu_seconds_are_those_worked_and_not_those_waited():
    class Worker(Sleeper):
        def once(self):
            begin = time.process_time()
            while time.process_time() - begin < 0.01:
                pass

    assert time_for(Sleeper(), 0.03).per_cpu_second > 4 * 5000
    assert time_for(Worker(), 0.03).per_cpu_second == pytest.approx(5000, rel=0.3)


def test_a_summary_is_the_median_and_the_middle_half():
    assert summary([10.0, 50.0, 20.0, 40.0, 30.0]) == {"median": 30, "low": 20, "high": 40}
    assert summary([7.0]) == {"median": 7, "low": 7, "high": 7}


def test_rates_are_summed_up_apart():
    found = rates([Rate(1, 100), Rate(2, 300), Rate(9, 200)])
    assert found["steps_per_second"] == {"median": 2, "low": 1.5, "high": 5.5}
    assert found["per_cpu_second"] == {"median": 200, "low": 150, "high": 250}


def test_a_ratio_is_taken_within_each_round():
    # The second round was on a busy machine: the medians alone would give 20 / 8 = 2.5.
    assert median_ratio([20, 2, 30], [10, 1, 8]) == 2.0


def test_nothing_comes_from_the_cache_on_disk_while_compiling_is_timed(tmp_path):
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    try:
        with compiled_afresh():
            jax.jit(lambda x: x * 3 + 1).lower(jnp.float32(0)).compile()
            assert list(tmp_path.iterdir()) == []
        jax.jit(lambda x: x * 5 + 1).lower(jnp.float32(0)).compile()
        assert list(tmp_path.iterdir()) != []
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_an_interruption_waits_for_the_end_of_a_compilation(signals):
    done = []

    def compile_something():
        with interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("compiled")

    with pytest.raises(KeyboardInterrupt):
        compile_something()
    assert done == ["compiled"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_that_is_ignored_stays_ignored_while_something_compiles(signals):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
