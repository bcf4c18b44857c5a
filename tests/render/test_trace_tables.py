"""Bytes in words, and the tables of a recording."""

import matplotlib
import pytest
from matplotlib.figure import Figure

from jaxmem.render.byte_units import label_bytes, short_bytes
from jaxmem.render.trace_info import trace_markdown, trace_table

RESULTS = {
    "command": "jaxmem trace info made.csv",
    "device": "1 x cpu",
    "versions": {"jax": "0.10"},
    "trace": "made",
    "events": 4,
    "requests": 3,
    "alignment": 16,
    "peak_live": 4096,
    "peak_live_asked": 4001,
    "live_blocks": 1,
    "smallest": 1,
    "largest": 4001,
    "never_freed": 1 / 3,
    "rank_correlation": None,
    "call_sites": 1,
    "explained": {"size": 0.25, "site": 0.5, "both": -0.125, "known": 0.5},
    "headroom": {
        "unbounded": {"best": 1.25},
        "bounded": {"best": 1.5},
        "offline": 1.0,
        "lower_bound": 1.0,
    },
    "factors": [1.02, 1.2],
    "failed_requests": {"best": {"1.02": 0.0, "1.2": 0.001}},
    "threshold": 256,
    "stacked": 2,
    "offline_method": "annealed",
    "by_best_fit": {},
    "notes": [],
    "verdict": "best-fit needs 50.0 % over peak live.",
    "conventions": {"bounded": "one hole at the start"},
    "sizes": [
        {
            "from": 1,
            "to": 2,
            "requests": 3,
            "bytes": 3,
            "lifetime": [1, 2, None],
            "never_freed": 0.3,
        }
    ],
}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10.25 * 2**20, "10.2 MiB"),
        (726 * 2**20, "726 MiB"),
        (2**62, "4 EiB"),
        (5000 * 2**60, "5000 EiB"),
    ],
)
def test_bytes_are_written_in_three_digits(amount, text):
    assert short_bytes(amount) == text


@pytest.mark.parametrize("high", [2, 2**10, 2**40, 2**62])
def test_an_axis_of_bytes_has_a_few_ticks_at_powers_of_two(high):
    with matplotlib.rc_context():
        axes = Figure().subplots()
        axes.set_xscale("log")
        axes.set_xlim(1, high)
        label_bytes(axes.xaxis, 1, high)
        ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= high]
    assert 1 <= len(ticks) <= 8
    assert all(float(tick).hex().startswith("0x1.0000000000000p") for tick in ticks)


def test_the_table_of_a_recording():
    page = trace_markdown(RESULTS)
    assert "| best-fit | 1.2500 | 1.5000 | 0.00 | <0.01 |" in page
    assert "| offline (annealed) | - | 1.0000 | - | - |" in page
    assert "| lower bound | - | 1.0000 | - | - |" in page
    assert "The offline packing meets the lower bound" in page
    assert "\nbest-fit needs 50.0 % over peak live.\n" in page
    assert "| 1 B to 2 B | 3 | 3 | 2 | 1 to never | 30.0 % |" in page
    assert "rank correlation of size and lifetime: not defined" in page
    assert "at most 1 block and 4,096 bytes (4 KiB) live" in page
    assert "| by the other requests | 0.25 | 0.50 | -0.12 |" in page
    assert "1 call site, of 50.0 % of the requests." in page
    assert "- bounded: one hole at the start." in page
    assert "Offline: the 2 blocks" in page
    assert "two-ended" not in page  # nobody plays with a threshold here


def test_the_table_for_a_terminal_is_a_view_of_the_same():
    table = trace_table(RESULTS, 80)
    cells = [list(column.cells) for column in table.columns]
    assert [str(row[0]) for row in cells] == ["best-fit", "1.2500", "1.5000", "0.00", "<0.01"]
    assert [str(row[1]) for row in cells[:1]] == ["offline (annealed)"]
    assert table.width == 80


def test_an_earlier_run_has_a_row_of_its_own():
    foretold = {"size": 0.1, "site": 0.7, "both": 0.8, "known": 0.995}
    earlier = {"trace": "monday", "requests": 2, "known_sites": 0.9, "explained": foretold}
    page = trace_markdown({**RESULTS, "earlier": earlier})
    assert "| by the earlier monday | 0.10 | 0.70 | 0.80 |" in page
    said = "monday, an earlier run of 2 requests, knows 90.0 % of the call sites, 99.5 % of the"
    assert said in page
    assert "earlier" not in trace_markdown(RESULTS)


CUDA = {
    **RESULTS,
    "headroom": {
        "unbounded": {"best": 1.25},
        "bounded": {"best": 1.5, "learned": 1.4},
        "offline": 1.4,
        "lower_bound": 1.0,
        "caching_allocator": {"recorded": 1.75, "by_its_rules": 1.6},
    },
    "failed_requests": {name: {"1.02": 0.0, "1.2": 0.0} for name in ("best", "learned")},
    "offline_method": "learned",
    "by_best_fit": {"learned": 0.995},
    "notes": ["Recording: left out: 3."],
}


def test_what_pytorch_reserves_stands_beside_the_policies():
    page = trace_markdown(CUDA)
    assert "| PyTorch, recorded | 1.7500 | - | - | - |" in page
    assert "| PyTorch, by its rules | 1.6000 | - | - | - |" in page
    assert "one stream, default settings, segments are kept" in page
    assert "PyTorch" not in trace_markdown(RESULTS)


def test_the_table_says_who_found_the_packing_and_when_learned_is_best_fit():
    page = trace_markdown(CUDA)
    assert "| offline (learned) | - | 1.4000 |" in page
    assert "meets the lower bound" not in page
    assert "| learned (is best-fit) | - | 1.4000 |" in page
    assert "best fit places 99.5 % of its requests" in page
    assert "Recording: left out: 3." in page
    played = trace_markdown({**CUDA, "by_best_fit": {"learned": 0.9}})
    assert "| learned | - | 1.4000 |" in played
    assert "is best-fit" not in played
