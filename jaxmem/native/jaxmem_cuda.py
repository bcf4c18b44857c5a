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
_record = ctypes.CDLL(LIBRARY).jaxmem_cuda_record_stream
allocator.allocator().set_record_stream_fn(ctypes.cast(_record, ctypes.c_void_p).value)
torch.cuda.memory.change_current_allocator(allocator)
