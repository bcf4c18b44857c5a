"""What can be chosen on the page, found without JAX, so that it can be painted at once."""

import functools
from pathlib import Path
from typing import NamedTuple

import yaml

import jaxmem
from jaxmem.app.text_fields import layout_text, sizes_text
from jaxmem.configuration import choices_of, configuration_folder
from jaxmem.render.palette import policy_title
from jaxmem.rules import NAMES, ORDERED

TRAINED = "learned"  # the policy that was trained on this page
MOST_CHOSEN = {  # at once
    "play_policies": 8, "race_policies": 6, "compare_policies": 24, "compare_byte_policies": 8,
}  # fmt: skip
CHOSEN = "chosen to show the difference; averages over many sequences are in Compare."
NO_DRAW = ("scenario", "trace", "segregated-lifetimes")  # typed, uploaded, an alias
AT_FIRST = {  # what is chosen until somebody chooses
    "play_policies": ("first", "second", "best", "worst", "generalist"),
    "race_policies": ("first", "best", "large-short-lived"),
    "compare_policies": (
        "first", "best", "second", "worst", "two_ended", "two_ended_tuned", "generalist",
    ),
    "compare_byte_policies": ("first", "best", "two_ended", "learned"),
}  # fmt: skip


# Files and run folders that the owner of the server has named, by what the page calls them.
OFFERED: dict[str, str] = {}
SHIPPED_SCORER = "learned"  # of holes in bytes, which comes with the package


class Preset(NamedTuple):
    """A memory and what is asked for, as it is typed."""

    cells: str
    layout: str
    sizes: str
    step: int = 0  # that is shown first: so many requests are answered
    said: str = ""  # about it


def title(name: str) -> str:
    """Names a policy as people read it, and tells whether it has learned."""
    if name == TRAINED:
        return f"{policy_title(name)} (trained here)"
    return f"{policy_title(name)} (learned)" if name in shipped() else policy_title(name)


@functools.cache
def shipped() -> tuple[str, ...]:
    """The policies that come with the package, the generalist first."""
    folder = Path(jaxmem.__file__).parent / "policies" / "shipped"
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    return tuple(sorted(names, key=lambda name: name != "generalist"))


def workloads() -> tuple[str, ...]:
    """The workloads that can be drawn."""
    names = choices_of(configuration_folder(), "workload")
    return tuple(name for name in names if name not in NO_DRAW)


def player_names(trained: bool) -> list[str]:
    """All policies; with the one that was trained on this page, if there is one."""
    return [*([TRAINED] if trained else []), *NAMES, *shipped()]


def byte_player_names() -> list[str]:
    """All policies that play recordings in bytes; those that the owner has named come first."""
    return [*OFFERED, *ORDERED, SHIPPED_SCORER]


def byte_title(name: str) -> str:
    """Names one of these as people read it."""
    if name in OFFERED:
        return f"{name} (learned from runs)"
    return (
        f"{policy_title(name)} (from other programs)"
        if name == SHIPPED_SCORER
        else policy_title(name)
    )


def recordings() -> tuple[str, ...]:
    """The recordings of the library."""
    folder = Path(jaxmem.__file__).parent / "recordings" / "library"
    files = {file.name for file in folder.iterdir() if file.is_file()} - {"README.md"}
    return tuple(sorted(name.removesuffix(".csv.gz").removesuffix(".npz") for name in files))


def presets() -> dict[str, Preset]:
    """Memories worth a look, by what is to be seen; the first is what the page begins with."""
    file = configuration_folder() / "workload" / "scenario.yaml"
    example = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        # Both from `experiments/telling_sequences.py`, which says how they were chosen.
        "Where the fits fail and learning does not": Preset(
            "64",
            "",
            "13, 14, 14, 16, free:2, 1, 2, 1, free:3, 14, free:1, 15, free:4, free:8",
            8,
            f"The beginning of a sequence of large-short-lived, {CHOSEN}",
        ),
        "Where best-fit loses": Preset(
            "64",
            "",
            "12, 13, 8, free:1, 13, 13, 1, free:5, 15",
            6,
            f"Best-fit puts request 6 into the tightest hole, and so cuts a longer one that the "
            f"fifth leaves. The beginning of a sequence of large-short-lived, {CHOSEN}",
        ),
        "The example: holes of five sizes": Preset(
            "100", layout_text(example["layout"]), sizes_text(example["sizes"])
        ),
        # Knuth, The Art of Computer Programming, volume 1, section 2.5, has two pairs like these.
        "Two holes where best-fit loses": Preset("60", "0:3, 29:4, 57:3", "20, 22, 5"),
        "Two holes where first-fit loses": Preset("40", "0:2, 22:4, 38:2", "12, 20"),
        "Blocks come and go": Preset(
            "64", "", "4, 12, 4, 12, 4, 12, 4, free:2, free:4, free:6, 3, 11, 14, 12, 16"
        ),
        "A comb of small holes": Preset(
            "96", ", ".join(f"{at}:8" for at in range(0, 96, 12)), "3, 2, 4, 1, 4, 2, 3, 4, 1, 4, 4"
        ),
        "An empty memory": Preset("64", "", "8, 5, 13, 4, 9, 6, 11, 7"),
    }
