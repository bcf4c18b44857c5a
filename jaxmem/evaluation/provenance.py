"""The versions and the device that a result was computed with, to stand beside the figures."""

import os
import platform
from importlib.metadata import version
from typing import TypedDict

import jax

PACKAGES = ("jaxmem", "jax", "jaxlib", "flax", "optax", "numpy")


class Provenance(TypedDict):
    """A part of results.json."""

    versions: dict[str, str]  # by package, and of Python
    device: str  # in words


def provenance() -> Provenance:
    """Tells what results are computed with."""
    devices = jax.devices()
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "device": f"{len(devices)} x {devices[0].device_kind}, {os.cpu_count()} CPU cores",
    }
