"""The programs do what their source would do, played in plain Python on the same draws."""

from functools import partial

import jax
import numpy as np
import pytest
from request_checks import UNCAPPED, assert_mean, check_generator, draw, live_cells

from jaxmem.arena.arena import NEVER
from jaxmem.workloads import programs
from jaxmem.workloads.parts import uniform
from jaxmem.workloads.requests import Requests

SEQUENCES, LENGTH = 64, 320
many = partial(draw, sequences=SEQUENCES, length=LENGTH)


@pytest.mark.parametrize(
    ("generator", "largest"),
    [(programs.stack_with_leaks, 8), (programs.training_step, 100)],
    ids=["stack", "training"],
)
def test_every_program_is_lawful_and_stays_under_the_cap(generator, largest):
    check_generator(generator, largest, SEQUENCES, LENGTH)
    requests = many(generator)
    assert live_cells(requests).max() == 100
    assert not requests.hint.any()
    assert not requests.kind.any()


def stack_deaths(key) -> tuple[list[int], list[bool]]:
    """The death of each request (T: at the end or a leak) and whether it is a leak."""
    keys = jax.random.split(key, 7)
    operations = (2 * LENGTH,)
    redraws = jax.random.bernoulli(keys[0], 0.05, operations).tolist()
    redrawn = jax.random.choice(keys[1], np.float32([0.35, 0.5, 0.65]), operations).tolist()
    fractions = jax.random.uniform(keys[2], operations).tolist()
    leaks = jax.random.bernoulli(keys[3], 0.12, operations).tolist()
    death, is_leak, stack, probability = [], [], [], 0.55
    for redraw, value, fraction, leaking in zip(redraws, redrawn, fractions, leaks, strict=True):
        if redraw:
            probability = value
        now = 1.0 if not stack else 0.2 if len(stack) >= 22 else probability
        if len(death) >= LENGTH:
            break
        if fraction >= now:
            death[stack.pop()] = len(death)
            continue
        stack.append(len(death))
        death.append(LENGTH)
        is_leak.append(False)
        if leaking:
            death.append(LENGTH)
            is_leak.append(True)
    return death[:LENGTH], is_leak[:LENGTH]


def test_the_stack_frees_its_newest_block_and_never_its_leaks():
    requests = many(programs.stack_with_leaks, capacity=UNCAPPED)
    keys = jax.random.split(jax.random.key(0), SEQUENCES)
    leaked = []
    for sequence in range(8):
        death, is_leak = stack_deaths(keys[sequence])
        size, lifetime = requests.size[sequence], requests.lifetime[sequence]
        for t in range(LENGTH):
            if is_leak[t]:
                assert size[t] <= 3
                leaked.append(lifetime[t])
            elif death[t] == LENGTH:
                assert lifetime[t] == NEVER
            else:
                assert lifetime[t] == death[t] - t
    assert_mean(np.array(leaked), 60.0)


def test_one_push_in_eight_leaks():
    requests = many(programs.stack_with_leaks, capacity=UNCAPPED)
    assert_mean(requests.size, (4.5 + 0.12 * 2) / 1.12)


def training_step_by_hand(key, capacity: int) -> tuple[list[int], list[int]]:
    """Sizes and deaths of one training step, one allocation and one free at a time."""
    keys = jax.random.split(key, 4)
    layers = int(uniform(keys[0], (), 4, 7))
    activation, workspace, gradient = (
        uniform(key, (7,), low, high).tolist()
        for key, low, high in zip(keys[1:], (2, 1, 1), (10, 8, 6), strict=True)
    )
    size, death, live, peak = [], [], set(), 0

    def allocate(cells: int) -> int:
        nonlocal peak
        size.append(cells)
        death.append(None)
        live.add(len(size) - 1)
        peak = max(peak, sum(size[block] for block in live))
        return len(size) - 1

    def free(block: int) -> None:
        live.remove(block)
        death[block] = len(size)

    activations, weights, gradients = [], [], [None] * layers
    for layer in range(layers):
        activations.append(allocate(activation[layer]))
        if layer % 2 == 0 or workspace[layer] > 4:
            free(allocate(workspace[layer]))
    gradients[-1] = allocate(activation[layers - 1])
    for layer in reversed(range(layers)):
        work = allocate(workspace[layer])
        weights.insert(0, allocate(gradient[layer]))
        if layer > 0:
            gradients[layer - 1] = allocate(activation[layer - 1])
        for block in (work, gradients[layer], activations[layer]):
            free(block)
    for layer in range(layers):
        free(allocate(gradient[layer]))
        free(weights[layer])
    assert not live
    scaled = [
        max(1, round(float(np.float32(cells * np.float32(capacity / peak))))) for cells in size
    ]
    return scaled, death


def test_the_training_step_is_the_one_played_by_hand_repeated():
    requests = many(programs.training_step)
    keys = jax.random.split(jax.random.key(0), SEQUENCES)
    untouched = 0
    for sequence in range(16):
        size, death = training_step_by_hand(keys[sequence], 100)
        lifetime = [end - start for start, end in enumerate(death)]
        repeats = -(-LENGTH // len(size))
        by_hand = Requests(
            *(np.array([(row * repeats)[:LENGTH]]) for row in (size, lifetime)),
            hint=None,
            kind=None,
        )
        np.testing.assert_array_equal(requests.size[sequence], by_hand.size[0])
        # Where rounding lifts the peak over the capacity, the cap shortens some lifetimes.
        if live_cells(by_hand).max() <= 100:
            np.testing.assert_array_equal(requests.lifetime[sequence], by_hand.lifetime[0])
            untouched += 1
    assert untouched >= 5


def test_the_training_step_peaks_near_the_capacity():
    peaks = live_cells(many(programs.training_step)).max(axis=1)
    # Rounding moves the peak of some twenty live blocks by a few cells.
    assert peaks.min() >= 85
    assert peaks.mean() > 95


def test_training_hints_are_the_lifetimes_after_the_cap():
    plain, hinted = many(programs.training_step), many(programs.training_step, hints=True)
    np.testing.assert_array_equal(plain.size, hinted.size)
    np.testing.assert_array_equal(hinted.lifetime, plain.lifetime)
    np.testing.assert_array_equal(hinted.hint, hinted.lifetime)
