"""The versions and the device that a result was computed with, to stand beside the figures."""

import os
import platform
from importlib.metadata import version

import jax

PACKAGES = ("jaxmem", "jax", "jaxlib", "flax", "optax", "numpy")


def provenance() -> dict[str, object]:
    """Returns `versions` by package and `device` in words, as they stand in results.json."""
    devices = jax.devices()
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "device": f"{len(devices)} x {devices[0].device_kind}, {os.cpu_count()} CPU cores",
    }
