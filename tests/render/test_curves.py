"""The learning curve: the learned policy against labelled lines, whatever there is to draw."""

import itertools

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.text import Text
from repetition import slow

from jaxmem.render.curves import draw_learning_curve, short_count, spread
from jaxmem.render.palette import policy_colour

FITS = {"first": 6.59, "second": 8.51, "best": 7.77, "worst": 25.96, "two_ended": 5.71}
STEPS = np.linspace(0, 2e6, 21)
FAILED = 4.9 + 5 * np.exp(-STEPS / 2e5)


def labels(figure):
    return {text.get_text(): text for text in figure.axes[0].texts}


def curve(figure):
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "curve"]
    return line


def test_the_curve_passes_through_the_values(tmp_path):
    path = tmp_path / "curve.png"
    figure = draw_learning_curve(path, STEPS, FAILED, FITS, episodes=6250)
    np.testing.assert_array_equal(curve(figure).get_xydata(), np.stack([STEPS, FAILED], 1))
    assert curve(figure).get_color() == policy_colour("learned")
    assert matplotlib.image.imread(path).shape[:2] == (1040, 2000)
    assert figure.axes[0].get_xlabel() == "environment steps (2 M steps are 6,250 episodes)"
    assert figure.axes[0].get_ylabel() == "failed requests (%)"


def test_each_reference_is_a_labelled_line_in_its_colour(tmp_path):
    figure = draw_learning_curve(tmp_path / "curve.png", STEPS, FAILED, FITS)
    levels = {
        line.get_ydata()[0]: to_hex(line.get_color())
        for line in figure.axes[0].lines if len(set(line.get_ydata())) == 1
    }  # fmt: skip
    for name, value in FITS.items():
        assert levels[value] == policy_colour(name)
    assert {"best-fit 7.77 %", "two-ended 5.71 %", "learned 4.90 %"} <= set(labels(figure))


def test_the_rule_that_training_starts_from_is_a_line_and_what_is_kept_has_a_ring(tmp_path):
    start = ("tuned two-ended (outermost holes): requests up to 2 cells low (tuned on 256 …)", 5.4)
    figure = draw_learning_curve(
        tmp_path / "curve.png", STEPS, FAILED, FITS, start=start, kept=STEPS[18]
    )
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "start"]
    assert set(line.get_ydata()) == {5.4}
    assert "its start 5.40 %" in labels(figure)
    said = figure.axes[0].get_title(loc="left")
    assert (
        said == "Training starts from tuned two-ended (outermost holes): requests up to 2 cells low"
    )
    (ring,) = [line for line in figure.axes[0].lines if line.get_label() == "kept"]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (STEPS[18], FAILED[18])
    assert f"kept: {FAILED[18]:.2f} %" in labels(figure)


def test_a_poor_reference_does_not_squeeze_the_others(tmp_path):
    figure = draw_learning_curve(tmp_path / "curve.png", STEPS, FAILED, FITS)
    low, high = figure.axes[0].get_ylim()
    assert low == 0  # a share from nothing: heights compare
    assert 9.9 < high < 25.96
    assert {"worst-fit 25.96 %", "\N{UPWARDS ARROW}"} <= set(labels(figure))


def test_labels_do_not_overlap_and_are_not_cut_off(tmp_path):
    alike = dict.fromkeys(["first", "second", "best", "worst", "next", "hint_fit"], 5.0)
    figure = draw_learning_curve(tmp_path / "curve.png", STEPS, FAILED, {**alike, "random": 30.0})
    figure.draw_without_rendering()
    written = [text for text in figure.axes[0].texts if "%" in text.get_text()]
    boxes = [Text.get_window_extent(text) for text in written]  # without the line that leads there
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == 8
    for below, above in itertools.pairwise(boxes):
        assert below.y1 <= above.y0 + 1
    assert max(box.x1 for box in boxes) < 2000
    assert boxes[0].y0 > 0
    assert boxes[-1].y1 < 1040


def test_nan_leaves_a_gap_and_the_label_tells_the_last_value_known(tmp_path):
    failed = FAILED.copy()
    failed[[3, 4, -1]] = np.nan
    figure = draw_learning_curve(tmp_path / "curve.png", STEPS, failed, {"best": np.nan})
    assert np.isnan(curve(figure).get_ydata()[[3, 4, -1]]).all()
    assert set(labels(figure)) == {f"learned {FAILED[-2]:.2f} %"}


@pytest.mark.parametrize(
    ("failed", "references"),
    [
        *[([], {}), ([np.nan], FITS), ([0.0, 0.0], {"best": 0.0, "first": 0.0})],
        *[([7.2], {}), ([100.0, 100.0], FITS)],
        *slow(*[(failed, FITS) for failed in ([], [7.2], [0.0, 0.0])]),
        *slow(*[(failed, {}) for failed in ([np.nan], [0.0, 0.0], [100.0, 100.0])]),
        *slow(*[(failed, {"best": 0.0, "first": 0.0}) for failed in ([], [7.2], [100.0, 100.0])]),
    ],
)
def test_any_number_of_points_is_drawn(tmp_path, failed, references):
    path = tmp_path / "curve.png"
    steps = 50_000 * (1 + np.arange(len(failed)))
    figure = draw_learning_curve(path, steps, failed, references, episodes=3)
    low, high = figure.axes[0].get_ylim()
    assert low >= 0
    known = [value for value in failed if np.isfinite(value)]
    assert all(low <= value <= high for value in known)
    assert ("no validation yet" in labels(figure)) == (not known)
    assert matplotlib.image.imread(path).shape[:2] == (1040, 2000)


def test_steps_and_values_must_pair_up(tmp_path):
    with pytest.raises(ValueError, match="3 steps but 2 values"):
        draw_learning_curve(tmp_path / "curve.png", [1, 2, 3], [1, 2], {})


def test_counts_are_short():
    counts = (0, 950, 20_000, 1_500_000, 2e9)
    assert [short_count(count) for count in counts] == ["0", "950", "20 k", "1.5 M", "2 G"]


def test_spread_moves_only_what_is_crowded():
    np.testing.assert_allclose(spread([5, 5, 9, 0], 1, 0, 10), [4.5, 5.5, 9, 0])
    np.testing.assert_allclose(spread([0, 0, 0], 1, 0, 10), [0, 1, 2])
    np.testing.assert_allclose(spread([1, 1, 1], 5, 0, 4), [0, 2, 4])
    assert spread([], 1, 0, 1).size == 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12), st.floats(0.01, 3))
def test_spread_keeps_order_distance_and_bounds(positions, gap):
    moved = spread(positions, gap, 0, 10)
    room = min(gap, 10 / max(len(positions) - 1, 1))
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= room - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 10 + 1e-9
