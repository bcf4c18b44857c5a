"""What all tests share: how programs are compiled, how hypothesis searches, and golden files."""

import gc
import itertools
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))  # what is no test: oracles and samples

# Set before JAX is imported, and for the processes that tests start. Tests compile much and run
# little, so XLA is not to optimise long; what one process of a test run has compiled, all find
# again, in a folder of that run (those of a user stay as they are).
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has all this of the process that started it
    COMPILED = tempfile.TemporaryDirectory(prefix="jaxmem-compiled-")
    QUICK = "--xla_backend_optimization_level=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# The first example of a property pays for a compilation, so time says nothing about it; the same
# examples in every run make a failure one that everybody sees.
settings.register_profile("jaxmem", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("jaxmem")

SLOW = 3600  # seconds that a slow test may take, or one in a browser; others have pyproject's
TOGETHER = 8  # files whose compiled programs are in memory together
FILES = itertools.count(1)  # that this process has run

GOLDEN = Path(__file__).parent / "golden"


def pytest_collection_modifyitems(items):
    """Gives slow tests the time they need; without an end is none of them."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.timeout(SLOW))


@pytest.fixture
def signals():
    """Interrupts and SIGTERM as a terminal has them, also for programs that the test starts.

    Under `nohup`, or in the background of a script, they may be ignored, and programs inherit that.
    """
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def golden_file():
    """A function from the name of a golden file to its path."""
    return GOLDEN.joinpath


@pytest.fixture(scope="module", autouse=True)
def _forgetful():
    """What some files have compiled does not fill the memory while others run."""
    yield
    if next(FILES) % TOGETHER == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()
