"""Which references stand beside a setting, and by how much we are faster."""

import pytest

from jaxmem.benchmark import yardsticks
from jaxmem.benchmark.references import REFERENCES, Unavailable
from jaxmem.benchmark.rollouts import Setting
from jaxmem.benchmark.timing import Rate
from jaxmem.benchmark.yardsticks import Key, Yardstick, beside, built, ratios, without

SETTING = Setting(cells=100, arenas=8192, observation="bitmap")
KEYS = {
    "python_loop": Key("python_loop", 100, 1, "bitmap"),
    "numpy": Key("numpy", 100, 1024, "bitmap"),
    "numba": Key("numba", 100, 1024, "bitmap"),
    "c": Key("c", 100, 1024, "bitmap"),
    "cartpole": Key("cartpole", None, 1024, None),
}


def test_references_play_the_same_cells_and_at_most_1024_arenas():
    assert beside(SETTING) == KEYS
    assert list(beside(SETTING)) == list(REFERENCES)
    assert beside(Setting(64, 32, "none"))["c"] == Key("c", 64, 32, "none")
    assert beside(Setting(64, 32, "none"))["cartpole"] == Key("cartpole", None, 32, None)


@pytest.mark.parametrize("observation", ["candidates", "packed"])
def test_no_reference_makes_candidates(observation):
    setting = Setting(100, 32, observation)
    assert beside(setting) == {}
    assert set(ratios(setting, [Rate(1, 1)], {}).values()) == {None}
    assert without("best", ["bitmap", observation]) == {
        observation: "no reference makes this observation"
    }


def test_references_play_best_fit_only():
    assert without("best", ["none", "bitmap"]) == {}
    assert without("worst", ["bitmap"]) == {"worst": "the references play best-fit, not worst"}


def test_a_ratio_goes_by_the_clock_but_to_c_by_cpu_seconds():
    ours = [Rate(100, 60), Rate(10, 30), Rate(90, 80)]
    theirs = [Rate(10, 10), Rate(2, 15), Rate(10, 20)]
    found = ratios(SETTING, ours, dict.fromkeys(KEYS.values(), theirs))
    assert found == {"python_loop": 9, "numpy": 9, "numba": 9, "c": 4, "cartpole": 9}


def test_what_was_not_timed_has_no_ratio():
    found = ratios(SETTING, [Rate(6, 6)], {KEYS["numpy"]: [Rate(3, 3)]})
    assert found == {**dict.fromkeys(REFERENCES), "numpy": 2}


def test_a_reference_that_cannot_run_is_asked_once_and_says_why(monkeypatch):
    asked = []

    class Absent:
        def __init__(self, key, seconds):
            asked.append(key.name)
            if key.name == "numba":
                raise Unavailable("numba cannot be imported")

    monkeypatch.setattr(yardsticks, "Yardstick", Absent)
    settings = [SETTING, Setting(100, 8192, "none"), Setting(100, 65536, "bitmap")]
    found, reasons = built(settings, 0.1, lambda doing: None)
    assert reasons == {"numba": "numba cannot be imported"}
    assert asked.count("numba") == 1
    # Two observations; CartPole has one of its own, and 8,192 arenas are beside 1,024, as 65,536.
    assert [key.name for key in found].count("numpy") == 2
    assert [key.name for key in found].count("cartpole") == 1


def test_a_call_of_a_reference_is_a_part_of_a_timing():
    short = Yardstick(Key("numpy", 20, 4, "bitmap"), seconds=1e-6)
    assert short.steps == 4
    assert Yardstick(Key("numpy", 20, 4, "bitmap"), seconds=0.5).steps > 40
    short.once()
