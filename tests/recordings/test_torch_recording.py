"""What torch allocates becomes a recording; the pairing of its events is tested without torch."""

import sys
from types import SimpleNamespace

import pytest

import jaxmem
from jaxmem.arena.arena import NEVER
from jaxmem.recordings import TraceError, record_torch
from jaxmem.recordings.torch_recording import BlockEvent, block_events, paired


def block(time: int, address: int, size: int, operators=(), device="cpu") -> BlockEvent:
    return BlockEvent(time, device, address, size, operators)


def node(kind: str, time: int, *children, name="", address=0, size=0) -> SimpleNamespace:
    """An event as torch's profiler has it."""
    fields = SimpleNamespace(ptr=address, alloc_size=size, device="cpu")
    tag = SimpleNamespace(name=kind)
    return SimpleNamespace(
        tag=tag, start_time_ns=time, name=name, children=children, extra_fields=fields
    )


def memory(time: int, address: int, size: int) -> SimpleNamespace:
    return node("Allocation", time, address=address, size=size)


def test_a_free_ends_the_block_at_its_address():
    events = [block(1, 64, 100), block(2, 128, 50), block(3, 64, -100), block(4, 64, 30)]
    recording = paired(events, "hand", "made by hand")
    assert recording.size.tolist() == [100, 50, 30]
    assert recording.lifetime.tolist() == [2, NEVER, NEVER]
    assert recording.peak_live == 150
    assert (recording.name, recording.about.program) == ("hand", "made by hand")
    assert (recording.about.format, recording.about.file) == ("torch-profiler", "")
    assert recording.site is None  # nothing was allocated under an operator


def test_a_call_site_is_the_whole_chain_of_operators():
    add, other = ("aten::add", "aten::empty"), ("aten::mul", "aten::empty")
    chains = (add, other, (), add)
    recording = paired([block(n, n, 8, chain) for n, chain in enumerate(chains)], "hand", "")
    assert recording.site is not None
    assert recording.site.tolist() == [0, 1, -1, 0]


def test_what_is_not_known_or_elsewhere_is_left_out_and_counted():
    events = [
        *(block(1, 64, -100), block(2, 64, 20), block(3, 64, 40, device="cuda:0")),
        *(block(4, 128, -1), block(5, 64, -20)),
    ]
    recording = paired(events, "hand", "")
    assert recording.size.tolist() == [20]
    assert recording.lifetime.tolist() == [1]
    assert recording.about.notes == (
        "frees of blocks from before the recording began, left out: 2",
        "allocations and frees on other devices, left out: 1",
    )


def test_without_an_allocation_there_is_no_recording():
    with pytest.raises(TraceError, match="hand, event 1: no allocation"):
        paired([block(1, 64, -100)], "hand", "")


def test_events_of_a_tree_come_in_the_order_of_time_each_under_its_operators():
    empty = node("TorchOp", 2, memory(3, 64, 8), name="aten::empty")
    python = node("PyCall", 1, empty, memory(9, 64, -8), name="a Python function")
    add = node("TorchOp", 1, python, name="aten::add")
    later = [memory(5, 128, 4), memory(5, 128, -4), memory(5, 128, 16)]  # in one nanosecond
    assert block_events([add, *later]) == [
        block(3, 64, 8, ("aten::add", "aten::empty")),
        *(block(5, 128, 4), block(5, 128, -4), block(5, 128, 16)),
        block(9, 64, -8, ("aten::add",)),
    ]


def test_a_tree_may_be_deep():
    deep = memory(1, 64, 8)
    for _ in range(5000):
        deep = node("TorchOp", 0, deep, name="f")
    assert len(block_events([deep])[0].operators) == 5000


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "torch.profiler", None)
    with pytest.raises(ImportError, match="record_torch needs torch: pip install torch"):
        record_torch(lambda: None)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not here")


def test_tensors_are_recorded_with_their_lifetimes(torch):
    before = torch.ones(1000)

    def work():
        nonlocal before
        first = torch.empty(10)  # 40 bytes
        second = torch.empty(20)
        del first, before
        second = second + 1.0  # a third one of 80 bytes, then the end of the second
        return second, torch.empty(5)

    recording = jaxmem.record_torch(work, "work")
    assert recording.size.tolist()[:2] == [40, 80]
    assert recording.lifetime[0] == 2
    assert recording.size.tolist().count(80) == 2
    assert recording.size[-1] == 20
    assert recording.lifetime[-1] == NEVER  # it was returned
    assert "test_tensors_are_recorded" in recording.about.program
    assert recording.site is not None
    assert recording.site[0] == recording.site[1]


def test_every_event_of_a_training_is_paired_and_the_same_twice(torch):
    def train():
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            model(torch.ones(4, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    once, twice = record_torch(train), record_torch(train)
    assert once.about.notes == ()
    assert once.requests > 100
    assert (once.lifetime < NEVER).all()  # the model went with the call
    assert once.size.tolist() == twice.size.tolist()
    assert once.lifetime.tolist() == twice.lifetime.tolist()
    assert once.site is not None
    assert twice.site is not None
    assert once.site.tolist() == twice.site.tolist()


def test_what_the_function_raises_comes_through_and_the_profiler_is_free_again(torch):
    def fails():
        torch.ones(3)
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        record_torch(fails)
    assert record_torch(lambda: torch.ones(3)).size.tolist() == [12]


def test_a_second_profiler_is_refused(torch):
    with torch.autograd.profiler.profile(), pytest.raises(RuntimeError, match="needs it for"):
        record_torch(lambda: torch.ones(3))
