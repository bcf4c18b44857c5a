"""Frames as a GIF or as a video."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

from PIL import Image

from jaxmem.extras import how_to_get
from jaxmem.whole_files import Target, write_to, written_whole

REST = 3.0  # seconds for which the last frame stays


def save_gif(target: Target, frames: Sequence[Image.Image], seconds: float) -> None:
    """Writes a GIF that is played again and again.

    Args:
        seconds: from the first frame to the last, which then stays for a while.
    """
    colours = frames[-1].quantize(128, dither=Image.Dither.NONE)
    drawn = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    each = max(20, round(1000 * seconds / len(frames)))
    film = BytesIO()
    drawn[0].save(
        film,
        format="GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=[*[each] * (len(drawn) - 1), round(1000 * REST)],
        loop=0,
        optimize=False,
    )
    write_to(target, film.getvalue())


def ffmpeg() -> str | None:
    """Finds the program that makes videos: the system's, else that of imageio-ffmpeg, else none."""
    found = shutil.which("ffmpeg")
    if found is None:
        try:
            found = import_module("imageio_ffmpeg").get_ffmpeg_exe()
        except (ImportError, RuntimeError):
            return None
    return found


def save_mp4(path: Path | str, frames: Sequence[Image.Image], seconds: float) -> None:
    """Writes an H.264 video that every browser plays.

    Args:
        seconds: from the first frame to the last, which then stays for a while.
    Raises:
        ValueError: there is no ffmpeg, or it fails.
        OSError: the file cannot be written.
    """
    program = ffmpeg()
    if program is None:
        raise ValueError(
            f"an MP4 needs ffmpeg, which is not here: install it, or {how_to_get('demo')}"
        )
    rate = max(1.0, len(frames) / seconds)
    width, height = frames[0].size
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{rate:.3f}", "-i", "-", "-an"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-movflags", "+faststart"]
    with TemporaryFile() as said, written_whole(path) as film:
        command += ["-f", "mp4", film.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as made:
            assert made.stdin is not None
            with suppress(BrokenPipeError):  # it has stopped, and says why
                for frame in _with_rest(frames, rate):
                    made.stdin.write(frame.tobytes())
                made.stdin.close()
        if made.returncode:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip().splitlines() or ["no reason"]
            raise ValueError(f"{path}: ffmpeg made no video: {reason[-1]}")


def _with_rest(frames: Sequence[Image.Image], rate: float) -> Iterator[Image.Image]:
    yield from frames
    for _ in range(round(REST * rate)):
        yield frames[-1]
