"""The look: colours that hold apart for every colour vision, and nothing left in matplotlib."""

import ast
import itertools
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import jaxmem.render
from jaxmem.render import style
from jaxmem.render.palette import POLICY_COLOURS, policy_colour, policy_title, text_on
from jaxmem.render.style import sequential_map

# Machado, Oliveira and Fernandes (2009), severity 1: what is seen of linear red, green and blue.
VISIONS = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def lab(rgb: np.ndarray, vision: str) -> np.ndarray:
    """CIE Lab of sRGB colours [N, 3] as seen with `vision`."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ VISIONS[vision].T, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
         [0.0193339, 0.1191920, 0.9503041]]) / np.array([[0.95047], [1.0], [1.08883]])  # fmt: skip
    xyz = seen @ to_xyz.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    parts = (116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2]))
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_policies_look_alike(vision):
    seen = lab(np.array([to_rgb(colour) for colour in POLICY_COLOURS.values()]), vision)
    for one, other in itertools.combinations(range(len(seen)), 2):
        pair = list(POLICY_COLOURS)[one], list(POLICY_COLOURS)[other]
        assert np.linalg.norm(seen[one] - seen[other]) > 15, pair


@pytest.mark.parametrize("vision", VISIONS)
def test_a_longer_lifetime_is_darker_by_even_steps(vision):
    lightness = lab(sequential_map()(np.linspace(0, 1, 17))[:, :3], vision)[:, 0]
    steps = -np.diff(lightness)
    assert steps.min() > 0.6 * steps.mean()
    assert steps.max() < 1.6 * steps.mean()


@pytest.mark.parametrize("vision", VISIONS)
def test_the_palest_block_stands_off_a_hole(vision):
    shades = np.array([sequential_map()(0.0)[:3], to_rgb(style.HOLE), to_rgb(style.WASTED)])
    block, hole, wasted = lab(shades, vision)
    assert np.linalg.norm(block - hole) > 15
    assert np.linalg.norm(wasted - hole) > 15


def test_an_unknown_policy_has_a_colour_of_its_own_every_time():
    assert policy_colour("buddy") == policy_colour("buddy")
    assert policy_colour("buddy") not in POLICY_COLOURS.values()
    assert re.fullmatch("#[0-9a-f]{6}", policy_colour("buddy"))


def test_policies_have_titles_for_people():
    assert [policy_title(name) for name in ("best", "two_ended", "hint_fit", "buddy")] == [
        "best-fit", "two-ended", "hint-fit", "buddy",
    ]  # fmt: skip


def test_the_callers_matplotlib_settings_come_back():
    mpl.rcParams["font.size"] = 31
    try:
        with style.picture_style():
            assert mpl.rcParams["font.size"] == 10
        assert mpl.rcParams["font.size"] == 31
    finally:
        mpl.rcParams["font.size"] = mpl.rcParamsDefault["font.size"]


def test_text_is_black_on_light_and_white_on_dark():
    assert text_on(sequential_map()(0.0)) == "#000000"
    assert text_on(sequential_map()(1.0)) == "#ffffff"


def test_the_room_is_on_the_ground_floor():
    package = Path(jaxmem.__file__).parent
    below = ("names", "rules", "extras", "whole_files")  # what every room may ask
    allowed = ("jaxmem.render", *(f"jaxmem.{name}" for name in below))
    rooms = [*package.glob("render/*.py"), *(package / f"{name}.py" for name in below)]
    for source in rooms:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("jax") or name.startswith(allowed), (source, name)
                assert name != "matplotlib.pyplot", source
