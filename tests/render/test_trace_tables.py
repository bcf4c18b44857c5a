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
    "headroom": {"unbounded": {"best": 1.25}, "bounded": {"best": 1.5}, "offline": 1.0},
    "factors": [1.02, 1.2],
    "failed_requests": {"best": {"1.02": 0.0, "1.2": 0.001}},
    "threshold": 256,
    "stacked": 2,
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
    assert "| offline | - | 1.0000 | - | - |" in page
    assert "| 1 B to 2 B | 3 | 3 | 2 | 1 to never | 30.0 % |" in page
    assert "rank correlation of size and lifetime: not defined" in page
    assert "at most 1 block and 4,096 bytes (4 KiB) live" in page
    assert "- bounded: one hole at the start." in page
    assert "Offline: the 2 blocks" in page
    assert "two-ended" not in page  # nobody plays with a threshold here


def test_the_table_for_a_terminal_is_a_view_of_the_same():
    table = trace_table(RESULTS, 80)
    cells = [list(column.cells) for column in table.columns]
    assert [str(row[0]) for row in cells] == ["best-fit", "1.2500", "1.5000", "0.00", "<0.01"]
    assert table.width == 80
