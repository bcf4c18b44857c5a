"""All workloads by name: what they promise, that their splits never mix, and their yaml files."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.configuration import composed, configuration_folder, configure
from jaxmem.recordings import load_library
from jaxmem.settings.workload import ALIASES, WORKLOADS
from jaxmem.workloads.cells import quantise, whole
from jaxmem.workloads.registry import (
    _GENERATORS,
    LENGTH,
    WARMUP,
    Workload,
    workload,
    workload_of,
)
from jaxmem.workloads.windows import split_range

SPLITS = ("train", "validation", "test")
SEQUENCES = 32
MAX_CELLS = 2**31 - 1
RANDOM = tuple(name for name in WORKLOADS if name not in ("scenario", "trace"))
RECORDING = "torch_cpu_mlp_train"

# Cells, length, warm-up and when an episode ends, as the workloads were first specified.
SHORT = (512, 0, True, math.inf)
LONG = (320, 64, False, math.inf)
SPECIFIED = {
    "classic": (100, 320, 0, False, 0.8),
    "memoryless": (108, *LONG),
    "geometric": (108, *LONG),
    "small-short-lived": (100, *LONG),
    "large-short-lived": (112, *LONG),
    "size-classes": (108, *LONG),
    "generational": (104, *LONG),
    "stack-with-leaks": (104, *LONG),
    "robson": (108, *LONG),
    "comb": (116, *LONG),
    "training-step": (100, *LONG),
    "call-sites": (108, *LONG),
    "best-fit-good": (256, *SHORT),
    "worst-fit-good": (256, *SHORT),
    "mixed": (256, *SHORT),
    "random": (256, *SHORT),
}


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly():
    """Here it matters what is drawn, not how fast, and compiling is most of the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def made(name) -> Workload:
    """A workload that needs no more than its name, or a recording of the library."""
    return workload("trace", name=RECORDING) if name == "trace" else workload(name)


def rows(requests):
    """Every sequence as something to be compared: its sizes and lifetimes."""
    pairs = np.stack([requests.size, requests.lifetime], axis=-1)
    return [row.tobytes() for row in pairs]


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_workload_is_the_specified_one(name):
    made = workload(name)
    assert made.name == name
    assert (
        made.cells,
        made.length,
        made.warmup,
        made.stop_at_failure,
        made.stop_above,
    ) == SPECIFIED[name]
    assert not made.fixed
    assert not made.has_hints
    assert made.layout == ()


@pytest.mark.parametrize("name", WORKLOADS)
def test_requests_have_their_shapes_types_and_ranges(name):
    task = made(name)
    requests = task.requests("test", 0, SEQUENCES)
    shape = (1 if task.fixed else SEQUENCES, task.length)
    assert (requests.sequences, requests.length) == shape
    for column, dtype in (
        (requests.size, jnp.int32),
        (requests.lifetime, jnp.int32),
        (requests.hint, jnp.float32),
        (requests.kind, jnp.int32),
    ):
        assert column.shape == shape
        assert column.dtype == dtype
    assert requests.size.min() >= 1
    assert requests.size.max() <= task.cells
    assert requests.lifetime.min() >= 1


@pytest.mark.parametrize("name", RANDOM)
def test_splits_never_share_a_sequence_and_a_seed_repeats_its_own(name):
    task = workload(name)
    splits = {split: rows(task.requests(split, 3, SEQUENCES)) for split in SPLITS}
    other_seed = rows(task.requests("train", 4, SEQUENCES))
    all_rows = [row for split in (*splits.values(), other_seed) for row in split]
    assert len(set(all_rows)) == 4 * SEQUENCES
    for split in SPLITS:
        assert rows(workload(name).requests(split, 3, SEQUENCES)) == splits[split]


@pytest.mark.parametrize("name", ["training-step", "call-sites"])
def test_hints_are_shown_when_asked_for(name):
    hinted = workload(name, lifetime_hints="class" if name == "call-sites" else "oracle")
    assert hinted.has_hints
    shown, plain = (task.requests("test", 0, SEQUENCES) for task in (hinted, workload(name)))
    assert (shown.hint > 0).all()
    assert not plain.hint.any()
    np.testing.assert_array_equal(shown.size, plain.size)
    np.testing.assert_array_equal(shown.lifetime, plain.lifetime)


def test_a_page_is_as_large_as_the_arena():
    requests = workload("best-fit-good", 60).requests("test", 0, SEQUENCES)
    assert requests.size.max() == 30


def test_an_option_reaches_its_generator():
    never = workload("classic").requests("test", 0, SEQUENCES)
    freed = workload("classic", free_probability=0.3).requests("test", 0, SEQUENCES)
    assert (never.lifetime > LENGTH).all()
    assert (freed.lifetime < LENGTH).any()


def test_a_scenario_is_one_fixed_sequence_in_its_layout():
    task = workload("scenario", 60, layout=[[5, 10], [40, 20]], sizes=[8, "free:1", 60])
    assert (task.cells, task.length, task.warmup) == (60, 2, 0)
    assert task.layout == ((5, 10), (40, 20))
    assert task.fixed
    assert task.judged_at_end
    requests = task.requests("test", 9, SEQUENCES)
    assert requests.size.tolist() == [[8, 60]]
    assert requests.lifetime[0, 0] == 1


@pytest.mark.parametrize("name", ["scenario", "trace"])
def test_what_is_one_fixed_sequence_is_not_trained_on(name):
    task = made(name)
    assert task.fixed
    for split in ("train", "validation"):
        with pytest.raises(ValueError, match=f"workload {name} is one fixed sequence"):
            task.requests(split, 0, SEQUENCES)


def test_a_whole_recording_is_every_request_of_it():
    task = workload("trace", 512, name=RECORDING, slack=1.2)
    quantised = quantise(load_library(RECORDING), 512, 1.2)
    assert (task.cells, task.length, task.warmup) == (512, quantised.requests, 0)
    assert rows(task.requests("test", 0, SEQUENCES)) == rows(whole(quantised))
    assert "peak live" in task.notes[0]


@pytest.fixture(scope="module")
def countable(tmp_path_factory):
    """A recording in which no two requests have the same size: 1 to 400 bytes, each freed."""
    path = tmp_path_factory.mktemp("trace") / "countable.csv"
    events = "".join(f"a,{n},{n + 1}\nf,{n},{n + 1}\n" for n in range(400))
    path.write_text("op,id,size\n" + events)
    # One byte is one cell, so a size tells which request it is.
    return workload("trace", 400, path=str(path), slack=1.0, episodes="windows", window=50)


def test_windows_of_a_split_are_parts_of_it_and_no_request_is_in_two_splits(countable):
    assert not countable.fixed
    assert (countable.length, countable.warmup) == (50, 10)
    parts = {"train": range(240), "validation": range(240, 300), "test": range(300, 400)}
    for split, part in parts.items():
        windows = np.asarray(countable.requests(split, 0, 200).size) - 1
        assert (np.diff(windows, axis=1) == 1).all()
        assert set(windows.ravel().tolist()) <= set(part)


def test_a_split_gives_no_more_windows_than_it_has(countable):
    counts = {split: countable.requests(split, 0, 200).sequences for split in SPLITS}
    assert counts == {"train": 200, "validation": 11, "test": 51}
    for split in ("validation", "test"):
        assert len(set(rows(countable.requests(split, 0, 200)))) == counts[split]
    assert countable.requests("test", 0, 7).sequences == 7


def test_windows_are_drawn_by_seed(countable):
    one, same, other = (rows(countable.requests("train", seed, 20)) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_windows_are_as_long_as_the_shortest_split_allows(countable):
    short = workload("trace", name=RECORDING, episodes="windows", live=False)
    assert short.length == min(
        LENGTH, len(split_range(load_library(RECORDING).requests, "validation"))
    )
    long = workload("trace", name="valgrind_gcc_cc1_O2", episodes="windows", live=False)
    assert (long.length, long.warmup) == (LENGTH, WARMUP)


def test_windows_begin_with_what_is_live_unless_told_otherwise():
    """29 blocks live at once before a request: they are placed first, and do not count."""
    live, empty = (
        workload("trace", name=RECORDING, episodes="windows", live=live) for live in (True, False)
    )
    assert (live.length, live.warmup) == (empty.length + 29, empty.warmup + 29)
    assert any("up to 29) first" in note for note in live.notes)
    assert any("in an empty memory (workload.live=false)" in note for note in empty.notes)
    windows = [np.asarray(task.requests("test", 0, 5).size) for task in (live, empty)]
    np.testing.assert_array_equal(windows[0][:, 29:], windows[1])


def test_a_window_has_as_many_requests_as_blocks_before_it():
    task = workload("trace", name="python_patterns", episodes="windows")
    assert (task.length, task.warmup) == (2 * 1230, 1230 + WARMUP)


def test_an_alias_is_another_name():
    for alias, name in ALIASES.items():
        assert workload(alias).name == name
        drawn = (workload(either).requests("test", 0, SEQUENCES) for either in (alias, name))
        assert rows(next(drawn)) == rows(next(drawn))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["memoryles"], {}, "unknown workload 'memoryles'; did you mean memoryless"),
        (["segregated-lifetime"], {}, "did you mean segregated-lifetimes"),
        (["zzz"], {}, "unknown workload 'zzz'; known: classic"),
        (["comb", 0], {}, "cells is 0; a whole number of at least 1, below 2"),
        (["comb", -3], {}, "cells is -3"),
        (["comb", MAX_CELLS + 1], {}, f"cells is {MAX_CELLS + 1}"),
        (["comb", 10.0], {}, "cells is 10.0; a whole number"),
        (["comb", True], {}, "cells is True; a whole number"),
        (["comb", "10"], {}, "cells is '10'; a whole number"),
        (["comb"], {"capasity": 5}, "comb has no option 'capasity'; did you mean capacity"),
        (["comb"], {"hints": True}, "workload comb has no option 'hints'"),
        (["comb"], {"source": "mixed"}, "workload comb has no option 'source'"),
        (["comb"], {"key": 1}, "workload comb has no option 'key'"),
        (["comb"], {"sequences": 1}, "workload comb has no option 'sequences'"),
        (["mixed"], {"page": 64}, "workload mixed has no option 'page'"),
        (["comb"], {"capacity": 0}, "workload.capacity is 0; .* at least 1"),
        (["comb"], {"capacity": 10.5}, "capacity is 10.5; a whole number"),
        (["comb"], {"capacity": True}, "capacity is True"),
        (["call-sites"], {"lifetime_hints": 1}, "lifetime_hints is 1; none, class or estimated"),
        (["classic"], {"free_probability": 1.5}, "free_probability is 1.5; .* from 0 to 1"),
        (["classic"], {"free_probability": math.nan}, "free_probability is nan"),
        (["classic"], {"free_probability": True}, "free_probability is True"),
        (["classic"], {"free_probability": "0.3"}, "free_probability is '0.3'"),
        (["scenario"], {"size": [1]}, "workload scenario has no option 'size'; did you mean sizes"),
        (["scenario", 20], {}, "leaves the arena"),
        (["scenario"], {"sizes": []}, "sizes has no request"),
        (["trace"], {}, "workload trace needs workload.path=FILE or workload.name=RECORDING"),
        (["trace"], {"name": "x", "path": "y"}, "needs workload.path=FILE or workload.name"),
        (["trace"], {"name": "torch_cpu_mlp"}, "did you mean .*torch_cpu_mlp_train"),
        (["trace"], {"name": RECORDING, "episodes": "parts"}, "episodes is 'parts'.*or windows"),
        (["trace"], {"name": RECORDING, "slack": 0}, "slack 0"),
        (["trace"], {"name": RECORDING, "live": 1}, "live is 1; true or false"),
        (["trace", 20], {"name": RECORDING}, "has 30 blocks live at once, .*33 cells or more"),
        (["trace"], {"name": RECORDING, "episodes": "windows", "window": 10**6}, "at most"),
    ],
)
def test_a_wrong_workload_is_refused_with_what_is_allowed(arguments, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        workload(*arguments, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["comb"], {"capacity": 9}, "capacity"),
        (["robson"], {"capacity": 1}, "capacity"),
        (["mixed", 9], {}, "cells"),
        (["random"], {"free_probability": 1.0}, "free_probability"),
    ],
)
def test_what_no_generator_takes_is_refused_at_once(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        workload(*arguments, **options)


@pytest.mark.parametrize("split", ["tests", "", "Train"])
def test_an_unknown_split_is_refused(split):
    with pytest.raises(ValueError, match=r"one of train, validation, test"):
        workload("comb").requests(split, 0, 2)


@pytest.mark.parametrize("cells", [1, MAX_CELLS])
def test_every_size_of_arena_that_is_allowed_can_be_had(cells):
    assert workload("comb", cells).cells == cells


# conf/workload/*.yaml


@pytest.mark.parametrize("name", [*WORKLOADS, *ALIASES])
def test_the_yaml_of_a_workload_says_what_its_settings_do(name):
    usual = WORKLOADS[ALIASES.get(name, name)]
    assert composed("compare", [f"workload={name}"])["workload"] == usual.plain()


@pytest.mark.parametrize("name", _GENERATORS)
def test_a_generator_says_what_its_settings_do(name):
    options = WORKLOADS[name].plain()
    parameters = inspect.signature(_GENERATORS[name].function).parameters
    for option, value in options.items():
        assert option in ("source", "lifetime_hints") or parameters[option].default == value
    fixed = {"cells", "key", "sequences", "length", "page"}
    assert set(parameters) - fixed - {"hints"} == set(options) - {"source", "lifetime_hints"}


def test_there_is_no_yaml_that_the_registry_does_not_know():
    files = (configuration_folder() / "workload").glob("*.yaml")
    assert {file.stem for file in files} == {*WORKLOADS, *ALIASES}


def test_every_yaml_builds_its_workload_by_default():
    for name in WORKLOADS:
        given = [f"workload.name={RECORDING}"] if name == "trace" else []
        settings = configure("compare", [f"workload={name}", *given]).workload
        assert workload_of(settings, None).name == name
