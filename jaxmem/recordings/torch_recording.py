"""The tensors that a call of PyTorch code allocates and frees, as torch's own profiler sees them.

With `profile_memory=True` the profiler notes each block that torch's allocator hands out or takes
back, with its address and bytes, below the operator that asked for it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from jaxmem.recordings.events import Events
from jaxmem.recordings.recording import Recording
from jaxmem.recordings.source import Source

FORMAT = "torch-profiler"
HOST = "cpu"
NOT_ON_CPU = "allocations and frees on other devices, left out"


class BlockEvent(NamedTuple):
    """A block that is handed out or taken back."""

    nanoseconds: int
    device: str  # as torch writes it: cpu, cuda:0
    address: int
    size: int  # bytes; below 0 for a free
    operators: tuple[str, ...]  # the ones at work, the outermost first


def record_torch(fn: Callable[[], object], name: str = "torch", program: str = "") -> Recording:
    """Records the tensors that one call of `fn()` allocates and frees on the CPU.

    A call site is the chain of operators that a block was allocated under; blocks from outside of
    every operator have none. What `fn` returns is kept to the end, and so is never freed. Seen is
    what torch's allocator hands out on the calling thread, where CPU operators and their gradients
    run: neither the scratch memory that libraries such as oneDNN take for themselves, nor the
    tensors of other threads and processes. Of blocks from before the recording torch tells the end
    only if it has profiled memory already; such frees are left out and counted in a note.

    Args:
        fn: one or several steps of training, say; everything that it should count is made in it.
        name: of the recording.
        program: what is recorded, in words; by default where `fn` is from.

    Raises:
        ImportError: there is no torch.
        RuntimeError: a profiler of torch is running already, and there can be one only.
        TraceError: no tensor was allocated. What `fn` raises comes through.
    """
    torch = _torch()
    if torch.autograd._profiler_enabled():
        raise RuntimeError("a profiler of torch is running; record_torch needs it for itself")
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = fn()
    del kept
    tree = profile.profiler.kineto_results.experimental_event_tree()
    return paired(block_events(tree), name, program or _origin(fn))


def block_events(tree: Iterable[Any]) -> list[BlockEvent]:
    """Lists the allocations and frees in a tree of torch's profiler, in the order of time.

    Args:
        tree: its roots, as `experimental_event_tree()` of the profiler's results has them.
    """
    # Events of one nanosecond stay as they are in the tree, which is their order.
    return sorted(_walk(tree), key=lambda event: event.nanoseconds)


def paired(events: Iterable[BlockEvent], name: str, program: str) -> Recording:
    """Makes a recording of these events, each free put to the block live at its address.

    Raises TraceError where nothing is allocated.
    """
    source = Source.of_bytes(b"", name, 0)
    source.format, source.unit = FORMAT, "event"
    blocks = Events(source)
    for source.number, event in enumerate(events, 1):
        if event.device != HOST:
            blocks.counted[NOT_ON_CPU] += 1
        elif event.size > 0:
            blocks.allocate(event.address, event.size, event.operators[::-1] or None)
        else:
            blocks.free(event.address)
    recording = blocks.recording(program)
    return replace(recording, name=name, about=replace(recording.about, file=""))


def _walk(tree: Iterable[Any]) -> Iterator[BlockEvent]:
    """Yields block events in the order of the tree, maybe deeper than Python recurses."""
    waiting: list[tuple[Any, tuple[str, ...]]] = [(root, ()) for root in tree][::-1]
    while waiting:
        event, operators = waiting.pop()
        kind = event.tag.name
        if kind == "Allocation":
            block = event.extra_fields
            place = str(block.device)
            yield BlockEvent(event.start_time_ns, place, block.ptr, block.alloc_size, operators)
        below = (*operators, event.name) if kind == "TorchOp" else operators
        waiting += [(child, below) for child in event.children][::-1]


def _torch() -> ModuleType:
    try:
        import_module("torch.profiler")
        return import_module("torch")
    except ImportError as error:
        raise ImportError(f"record_torch needs torch: pip install torch ({error})") from None


def _origin(fn: Callable[[], object]) -> str:
    module, called = getattr(fn, "__module__", None), getattr(fn, "__qualname__", repr(fn))
    return f"{module}.{called}" if module else called
