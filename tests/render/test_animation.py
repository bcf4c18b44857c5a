"""The race as a film: time goes on, failures count up, and every format can be played."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from jaxmem.render import video
from jaxmem.render.animation import FRAMES, MARGIN, PANEL, draw_frames
from jaxmem.render.palette import FAILED, HOLE, LAYOUT
from jaxmem.render.video import ffmpeg, save_gif, save_mp4

SIZE, LIFETIME = np.full(10, 5), np.full(10, 4)
STARTS = {"first": np.array([0, 5, 10, -1, 0, 5, 10, -1, 0, 5])}


def frames(starts=STARTS, **options):
    return draw_frames(starts, SIZE, LIFETIME, 16, title="ten requests", **options)


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(1 << 20)}


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in to_rgb(colour))


def test_there_is_a_frame_for_each_request_up_to_a_limit():
    assert len(frames()) == 10
    many = np.zeros(5000, int)
    long = draw_frames({"first": many}, many + 1, many + 1, 4, title="")
    assert len(long) == FRAMES


def test_a_failure_is_red_from_the_moment_that_it_happens():
    shown = frames()
    assert rgb(FAILED) not in colours(shown[2])
    assert rgb(FAILED) in colours(shown[3])


def test_the_future_is_not_shown():
    first, last = frames()[0], frames()[-1]
    x, y = MARGIN + PANEL[0] * 3 // 4, first.height // 2
    assert first.getpixel((x, y)) == rgb("#fbfbfc")
    assert last.getpixel((x, y)) != rgb("#fbfbfc")


def test_blocks_that_were_there_before_and_holes_are_seen():
    seen = colours(frames(layout=[[15, 1]])[-1])
    assert rgb(LAYOUT) in seen
    assert rgb(HOLE) in seen


@pytest.mark.parametrize("policies", [1, 2, 3, 5, 12])
def test_a_frame_is_even_and_holds_every_panel(policies):
    shown = draw_frames(
        {f"policy {number}": STARTS["first"] for number in range(policies)},
        SIZE, LIFETIME, 16, title="", frames=2,
    )  # fmt: skip
    width, height = shown[0].size
    assert width % 2 == height % 2 == 0
    assert len(shown) == 2


def test_a_race_needs_somebody():
    with pytest.raises(ValueError, match="at least one policy"):
        frames({})


def test_a_gif_is_played_again_and_again():
    file = io.BytesIO()
    save_gif(file, frames(), seconds=2.0)
    found = Image.open(file)
    assert (found.n_frames, found.info["loop"]) == (10, 0)
    assert found.info["duration"] == 200


@pytest.mark.skipif(ffmpeg() is None, reason="neither ffmpeg nor imageio-ffmpeg is here")
def test_an_mp4_is_a_video(tmp_path):
    save_mp4(tmp_path / "race.mp4", frames(), seconds=2.0)
    assert (tmp_path / "race.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_ffmpeg_an_mp4_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "ffmpeg", lambda: None)
    with pytest.raises(ValueError, match="needs ffmpeg"):
        save_mp4(tmp_path / "race.mp4", frames(), seconds=2.0)


def test_what_ffmpeg_says_is_told(tmp_path, monkeypatch):
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no codec here >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(video, "ffmpeg", lambda: str(program))
    with pytest.raises(ValueError, match="no codec here"):
        save_mp4(tmp_path / "race.mp4", frames(), seconds=2.0)
