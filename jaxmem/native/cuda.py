"""The allocator for CUDA in `cuda.c`, with a policy that is compiled into it."""

from pathlib import Path

from jaxmem.native.allocator import POLICY, POLICY_OPTIONS
from jaxmem.native.build import OPTIONS, built


def cuda_library(policy: str, kept: int) -> Path:
    """Returns the library, which PyTorch can be given as its allocator.

    Args:
        policy: its C source, as `jaxmem.export` makes it.
        kept: what of BY_LENGTH, BY_ADDRESS and LISTED its fits ask for, together.

    Raises:
        UsageError: it cannot be had on this machine.
    """
    return built("cuda", (*OPTIONS, *POLICY_OPTIONS, f"-DKEPT={kept}"), {POLICY: policy})
