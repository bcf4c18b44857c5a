"""A policy as an allocator of PyTorch for CUDA: a library, and the module that chooses it."""

from pathlib import Path

from jaxmem import native
from jaxmem.export.c_source import c_source
from jaxmem.export.exported import Exported, only_in_bytes
from jaxmem.export.indexes import kept_of
from jaxmem.native.cuda import cuda_library

LIBRARY, MODULE = "libjaxmem_cuda.so", "jaxmem_cuda.py"


def cuda_files(exported: Exported) -> dict[str, str | bytes]:
    """Returns the files, by their names.

    Raises:
        PolicyFileError: the policy plays in cells.
        UsageError: the library cannot be had on this machine.
    """
    only_in_bytes(exported, "to=cuda")
    library = cuda_library(c_source(exported), kept_of(exported))
    module = Path(native.__file__).with_name(MODULE).read_text(encoding="utf-8")
    return {LIBRARY: library.read_bytes(), MODULE: module}
