"""Chooses this policy for PyTorch: import it before anything is on a CUDA device.

The library beside this file then gives out the memory of the device, from one region of it, of
nine tenths of what is free or of JAXMEM_CUDA_ARENA bytes. JAXMEM_CUDA_LOG=FILE keeps a log, which
`jaxmem trace import FILE` reads.
"""

import ctypes
from pathlib import Path

import torch  # pyright: ignore[reportMissingImports]

LIBRARY = str(Path(__file__).with_name("libjaxmem_cuda.so"))
allocator = torch.cuda.memory.CUDAPluggableAllocator(
    LIBRARY, "jaxmem_cuda_alloc", "jaxmem_cuda_free"
)


def _address(name: str) -> int | None:
    return ctypes.cast(getattr(ctypes.CDLL(LIBRARY), name), ctypes.c_void_p).value


allocator.allocator().set_record_stream_fn(_address("jaxmem_cuda_record_stream"))
allocator.allocator().set_begin_allocate_to_pool(_address("jaxmem_cuda_no_pool"))
torch.cuda.memory.change_current_allocator(allocator)
