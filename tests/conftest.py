"""What all tests share: how programs are compiled, how hypothesis searches, and golden files."""

import gc
import itertools
import mmap
import os
import re
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))  # what is no test: oracles and samples

# Tests compile much and run little, so XLA is to compile fast: a third of the time it takes else.
QUICK = {
    "xla_backend_optimization_level": "0",
    "xla_cpu_use_fusion_emitters": "false",
    "xla_cpu_parallel_codegen_split_count": "1",
}


def known_flags(flags):
    """Returns those that the installed XLA knows, as it takes them: an unknown one ends it."""
    known = set()
    for library in Path(find_spec("jaxlib").origin).parent.glob("*.so"):
        with library.open("rb") as file:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            known |= {name for name in flags if text.find(name.encode()) >= 0}
    return [f"--{name}={value}" for name, value in flags.items() if name in known]


def pytest_configure(config):
    """Sets up JAX before it is imported, for the processes that tests start too.

    What one process of a test run has compiled, all find again, in a folder of that run (those of a
    user stay as they are); so too what Python compiles, where it may not lie beside the sources.
    Slow tests run much, and play with XLA as users have it.
    """
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as shells start what is in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):  # it has all this of the process that started it
        return
    folder = tempfile.TemporaryDirectory(prefix="jaxmem-compiled-")
    config.add_cleanup(folder.cleanup)
    slow = re.search(r"(?<!not )\bslow\b", config.option.markexpr)
    flags = [] if slow else known_flags(QUICK)
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # nobody looks for a line in a program
    if sys.dont_write_bytecode:  # as in many containers; to import JAX takes three times as long
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = False, ""
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = f"{folder.name}/python"


# Tracing makes many objects that stay; to look through them all again and again takes a quarter of
# its time.
gc.set_threshold(100_000, 10, 10)

# The first example of a property pays for a compilation, so time says nothing about it; the same
# examples in every run make a failure one that everybody sees.
settings.register_profile("jaxmem", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("jaxmem")

SLOW = 3600  # seconds that a slow test may take, or one in a browser; others have pyproject's
TOGETHER = 20  # files whose compiled programs are in memory together
FILES = itertools.count(1)  # that this process has run

GOLDEN = Path(__file__).parent / "golden"


def pytest_collection_modifyitems(items):
    """Gives slow tests the time they need; without an end is none of them."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.timeout(SLOW))


def pytest_collection_finish():
    """What is there before the first test stays until the last: the collector passes over it."""
    gc.freeze()


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
def recorder_cache(tmp_path_factory):
    """A cache of what is compiled from C for all tests, apart from the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def golden_file():
    """A function from the name of a golden file to its path."""
    return GOLDEN.joinpath


@pytest.fixture(scope="session", autouse=True)
def users_unrolled_cells():
    """Arenas of a word or two are unrolled, larger ones stacked, which compiles in half the time.

    They play the same: the tests of arenas hold each representation against the oracle. Returns up
    to how many cells they are unrolled for users.
    """
    from jaxmem.arena import making

    before, making.UNROLLED_CELLS = making.UNROLLED_CELLS, 64
    yield before
    making.UNROLLED_CELLS = before


@pytest.fixture(scope="module", autouse=True)
def _coarse_pictures(request):
    """Pictures are a few dots and laid out at once, where no test looks at them: half of a command.

    How they look is tested in `tests/render`.
    """
    if "render" in request.path.parts:
        yield
        return
    from jaxmem.render import style

    figure, density = style.Figure, style.DENSITY
    style.Figure, style.DENSITY = lambda figsize, dpi, layout: figure(figsize, dpi), 20
    yield
    style.Figure, style.DENSITY = figure, density


@pytest.fixture(scope="module", autouse=True)
def _forgetful():
    """What some files have compiled does not fill the memory while others run."""
    yield
    if next(FILES) % TOGETHER == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture
def _as_before():
    """Lets a test register what it likes, and forgets it."""
    from hydra.core.config_store import ConfigStore

    from jaxmem import configuration, extensions
    from jaxmem.environment.environment import OBSERVES
    from jaxmem.environment.rewards import REWARDS
    from jaxmem.learning.learners import LEARNERS
    from jaxmem.policies.networks import SCORERS
    from jaxmem.recordings.formats import FORMATS
    from jaxmem.rules import RULES
    from jaxmem.settings import learner, workload
    from jaxmem.workloads.registry import REGISTERED

    tables = (
        *(workload.WORKLOADS, REGISTERED, RULES, REWARDS, OBSERVES, SCORERS, learner.LEARNERS),
        *(LEARNERS, FORMATS, extensions.NODES, extensions.GIVEN),
    )
    before, scoring = [dict(table) for table in tables], list(learner.SCORING)
    yield
    for group, name in extensions.NODES:
        ConfigStore.instance().repo.get(group, {}).pop(f"{name}.yaml", None)
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)
    learner.SCORING[:] = scoring
    configuration._composed.cache_clear()
