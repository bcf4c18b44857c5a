"""The allocator for CUDA, over memory of the host: its placements, streams, and bad days."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_allocator import SANITIZED
from test_native_table import NATIVE

from jaxmem.cli import main
from jaxmem.commands.run import events_under, live_player_of
from jaxmem.export.c_source import c_source
from jaxmem.export.cuda import LIBRARY, MODULE
from jaxmem.export.exported import Exported, read_exported
from jaxmem.export.indexes import kept_of
from jaxmem.native.cuda import cuda_library
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.live_check import differences, replayed
from jaxmem.recordings.live_log import read_live
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import events_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("cc") is None,
    reason="the allocator needs Linux on x86-64 and a C compiler",
)
SNAPSHOTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "pytorch_cuda"
UNIT = 512
ALLOC, FREE, USE = range(3)
# Plays calls: what, the number of a block, and its bytes, device and stream; prints the addresses.
PLAYER = """
import ctypes, json, sys
fake, library = sys.argv[1:]
ctypes.CDLL(fake, ctypes.RTLD_GLOBAL)
cuda = ctypes.CDLL(library)
cuda.jaxmem_cuda_alloc.restype = ctypes.c_void_p
address, size = ctypes.c_void_p, ctypes.c_ssize_t
blocks = {}
for what, block, bytes, device, stream in json.load(sys.stdin):
    if what == 0:
        blocks[block] = cuda.jaxmem_cuda_alloc(size(bytes), device, address(stream))
    elif what == 1:
        cuda.jaxmem_cuda_free(address(blocks[block]), size(bytes), device, address(stream))
    else:
        cuda.jaxmem_cuda_record_stream(address(blocks[block]), address(stream))
print(json.dumps(list(blocks.values())))
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    library = tmp_path_factory.mktemp("fake") / "libcudart.so"
    source = Path(__file__).with_name("fake_cuda.c")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


class Played:
    """What came of calls."""

    def __init__(self, policy: Exported, calls, fake: Path, folder: Path, **environment: object):
        library = cuda_library(c_source(policy), kept_of(policy))
        told = {"JAXMEM_CUDA_LOG": folder / "log", "FAKE_LOG": folder / "calls", **environment}
        self.log = folder / "log"
        (folder / "calls").write_text("")
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PLAYER, str(fake), str(library)],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            env={**os.environ, **{name: str(value) for name, value in told.items()}},
        )
        self.status, self.said = done.returncode, done.stderr
        self.blocks = json.loads(done.stdout) if done.stdout else []
        self.calls = [line.split() for line in (folder / "calls").read_text().splitlines()]

    def called(self, *names: str) -> list[tuple[str, int]]:
        """The calls of CUDA that have these names, with what they were first given."""
        return [(name, int(of)) for name, of, _ in self.calls if name in names]


def calls_of(recording: Recording, streams: int = 1) -> list[tuple[int, int, int, int, int]]:
    """The calls that a recording stands for; blocks are on streams in turns."""
    events, calls = events_of(recording, UNIT), []
    size = recording.size.tolist()
    for frees, request in zip(events.frees.tolist(), events.request.tolist(), strict=True):
        calls.append((FREE if frees else ALLOC, request, size[request], 0, request % streams))
    return calls


def synthetic(requests: int = 700) -> Recording:
    """Tensors of some steps: some stay, most go in the order opposite to that they came in."""
    random = np.random.default_rng(0)
    kinds = np.geomspace(100, 3_000_000, 24).astype(np.int64)
    size = kinds[random.integers(24, size=requests)] + random.integers(900, size=requests)
    lifetime = np.where(random.random(requests) < 0.1, 4000, 1 + random.integers(60, size=requests))
    return Recording("steps", size, lifetime)


def policy_of(name: str, recording: Recording) -> Exported:
    if name != "class rule":
        return read_exported(name, 64 if name == "two_ended" else None)
    rule = RuleNumbers(long=30, parts=64, fits=(0, 1, 2, 3))
    return Exported("class_rule", ProfiledPolicy(profile_of([recording]), rule))


def check_replay(name: str, recording: Recording, fake: Path, folder: Path, streams: int = 1):
    """Plays a recording where not all finds room, and again by `replay`; its requests that fail."""
    policy = policy_of(name, recording)
    events = events_of(recording, UNIT)
    units = round(1.02 * events.peak_live)
    environment = {"JAXMEM_CUDA_ARENA": units * UNIT, "JAXMEM_CUDA_DEPTH": 0}
    played = Played(policy, calls_of(recording, streams), fake, folder, **environment)
    assert (played.status, played.said) == (0, "")
    run = read_live(played.log, name, name)
    assert np.array_equal(run.recording.size, recording.size)
    events = events_under(policy, replace(run, recording=recording))
    assert name != "class rule" or np.all(events.foretold)
    assert (
        differences(run, replayed(events, units, live_player_of(policy), lambda share: None)) == []
    )
    there = run.start >= 0
    # What CUDA has given is elsewhere; all else is where the log says.
    base = np.array(played.blocks)[there] - UNIT * run.start[there]
    assert (base == base[0]).all()
    assert len(played.called("malloc")) == 1 + run.figures.failed
    return played


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("best", "first", "two_ended", "learned")
]


@pytest.mark.parametrize("name", ["class rule", *SLOW])
def test_every_block_lies_where_the_simulator_puts_it(fake, tmp_path, name):
    played = check_replay(name, synthetic(), fake, tmp_path)
    assert read_trace(played.log).requests == 700
    assert played.called("record", "wait") == []  # of one stream


def test_streams_change_no_placement(fake, tmp_path):
    played = check_replay("best", synthetic(), fake, tmp_path, streams=3)
    assert len(played.called("record")) == len(played.called("wait")) > 100


@pytest.mark.skipif(not SNAPSHOTS.is_dir(), reason="the snapshots are not beside the project")
@pytest.mark.parametrize(
    ("name", "snapshot", "requests"),
    [
        ("best", "medium_128_training", 2_000),
        pytest.param("best", "medium_128_training", None, marks=pytest.mark.slow),
        pytest.param("class rule", "medium_256_inference", None, marks=pytest.mark.slow),
    ],
)
def test_snapshots_of_a_gpu_lie_where_the_simulator_puts_them(
    fake, tmp_path, name, snapshot, requests
):
    whole = read_trace(SNAPSHOTS / f"{snapshot}.csv.gz")
    recording = Recording(snapshot, whole.size[:requests], whole.lifetime[:requests])
    check_replay(name, recording, fake, tmp_path)


def test_a_block_of_another_stream_is_waited_for_and_of_the_same_it_is_not(fake, tmp_path):
    first, second, third = 0, 70, 80
    calls = [
        (ALLOC, 0, 1000, 0, first), (ALLOC, 1, 1000, 0, second), (ALLOC, 2, 1000, 0, third),
        (FREE, 0, 1000, 0, first), (ALLOC, 3, 900, 0, first),  # nothing to wait for
        (FREE, 3, 900, 0, first), (ALLOC, 4, 800, 0, second),  # where the first was
        (FREE, 1, 1000, 0, second), (FREE, 2, 1000, 0, third),
        (ALLOC, 5, 2000, 0, first),  # where both were
    ]  # fmt: skip
    played = Played(read_exported("best"), calls, fake, tmp_path, JAXMEM_CUDA_ARENA=7 * UNIT)
    assert played.blocks[0] == played.blocks[3] == played.blocks[4]
    assert played.blocks[1] == played.blocks[5]
    # The second and third came where nothing was, which may have been the first's.
    assert played.called("record", "wait") == [
        *[("record", first), ("wait", second), ("record", first), ("wait", third)],
        *[("record", first), ("wait", second)],
        *[("record", second), ("wait", first), ("record", third), ("wait", first)],
    ]


def test_a_stream_that_uses_a_block_of_another_is_waited_for_when_it_is_freed(fake, tmp_path):
    calls = [
        (ALLOC, 0, 1000, 0, 0), (USE, 0, 0, 0, 90), (USE, 0, 0, 0, 90), (ALLOC, 1, 5000, 0, 0),
        (FREE, 0, 1000, 0, 0), (FREE, 1, 5000, 0, 0),
    ]  # fmt: skip
    played = Played(read_exported("best"), calls, fake, tmp_path, JAXMEM_CUDA_ARENA=99 * UNIT)
    assert (played.status, played.called("record", "wait")) == (0, [("record", 90), ("wait", 0)])


def test_of_a_stream_that_is_no_more_the_device_is_waited_for(fake, tmp_path):
    calls = [(ALLOC, 0, 9, 0, 666), (FREE, 0, 9, 0, 666), (ALLOC, 1, 9, 0, 70)]
    played = Played(read_exported("best"), calls, fake, tmp_path, JAXMEM_CUDA_ARENA=9 * UNIT)
    assert played.called("record", "wait", "synchronize") == [("record", 666), ("synchronize", 0)]


def test_what_finds_no_hole_and_other_devices_are_cudas_own(fake, tmp_path):
    calls = [
        (ALLOC, 0, 3 * UNIT, 0, 0), (ALLOC, 1, 1025, 0, 0),
        (ALLOC, 2, 77, 1, 0), (ALLOC, 3, 0, 0, 0),
        (FREE, 1, 1025, 0, 0), (FREE, 2, 77, 1, 0), (FREE, 3, 0, 0, 0), (FREE, 0, 3 * UNIT, 0, 0),
        (ALLOC, 4, 4 * UNIT, 0, 0),
    ]  # fmt: skip
    played = Played(read_exported("best"), calls, fake, tmp_path, JAXMEM_CUDA_ARENA=4 * UNIT + 9)
    assert played.status == 0
    assert played.called("malloc") == [("malloc", 4 * UNIT), ("malloc", 1025), ("malloc", 77)]
    assert len(played.called("free")) == 2
    assert played.blocks[0] == played.blocks[4]
    assert played.blocks[3] is None
    run = read_live(played.log, "run", "program")
    assert run.recording.lifetime.tolist()[:2] == [2, 1]
    assert (run.figures.failed, run.figures.failed_bytes, run.refused) == (1, 1025, 1)


def test_nine_tenths_of_what_is_free_are_taken_where_nothing_is_said(fake, tmp_path):
    played = Played(
        read_exported("best"), [(ALLOC, 0, 5, 0, 0)], fake, tmp_path, FAKE_FREE=1000 * UNIT
    )
    assert played.called("malloc") == [("malloc", 900 * UNIT)]


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([(FREE, 0, 5, 0, 0), (FREE, 0, 5, 0, 0)], "jaxmem: free: 0x.*its block was freed before"),
        ([(ALLOC, 1, 99 * UNIT, 0, 0)], "jaxmem: a block of 50688 bytes on device 0: no hole of"),
    ],
    ids=["freed twice", "no memory"],
)
def test_what_cannot_go_on_ends_with_a_line(fake, tmp_path, calls, said):
    given = [(ALLOC, 0, 5, 0, 0), *calls]
    played = Played(read_exported("best"), given, fake, tmp_path, FAKE_FREE=90 * UNIT)
    assert played.status == -signal.SIGABRT
    (line,) = played.said.splitlines()
    assert re.match(said, line)


def test_pools_of_graphs_are_refused_with_a_line():
    library = cuda_library(c_source(read_exported("best")), kept_of(read_exported("best")))
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).jaxmem_cuda_no_pool()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("jaxmem: CUDA graphs and memory pools: this allocator has no")


def test_without_cuda_it_is_said(tmp_path):
    nothing = tmp_path / "nothing.so"
    (tmp_path / "nothing.c").write_text("int nothing;")
    subprocess.run(["cc", "-shared", "-o", nothing, tmp_path / "nothing.c"], check=True)
    played = Played(read_exported("best"), [(ALLOC, 0, 5, 0, 0)], nothing, tmp_path)
    if played.status == 0:
        pytest.skip("CUDA is here")
    # A runtime may be here without a device.
    assert re.match(
        r"jaxmem: .*: (there is no CUDA runtime with it|CUDA has error \d+)", played.said
    )


RANDOM = """
#include "cuda.c"
int main(void) {
    unsigned seed = 1; struct { void *at; ssize_t size; stream_t stream; } block[50] = {0};
    for (int k = 0; k < 4000; k++) {
        int which = rand_r(&seed) % 50;
        if (block[which].at && rand_r(&seed) % 2) {
            jaxmem_cuda_free(block[which].at, block[which].size, 0, block[which].stream);
            block[which].at = NULL;
        } else if (block[which].at) {
            jaxmem_cuda_record_stream(block[which].at, (void *)(long)(rand_r(&seed) % 300));
        } else {
            block[which].size = rand_r(&seed) % 9 ? rand_r(&seed) % 9000 : rand_r(&seed) % 90000;
            block[which].stream = (void *)(long)(rand_r(&seed) % (k < 2000 ? 3 : 250));
            block[which].at = jaxmem_cuda_alloc(block[which].size, 0, block[which].stream);
            if (block[which].at) memset(block[which].at, 7, block[which].size);
        }
    }
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class rule", "learned"])
def test_sanitizers_find_nothing(fake, tmp_path, name):
    policy = policy_of(name, synthetic())
    (tmp_path / "jaxmem_policy.c").write_text(c_source(policy))
    (tmp_path / "random.c").write_text(RANDOM)
    sources = ["random.c", str(Path(__file__).with_name("fake_cuda.c"))]
    folders = (tmp_path, NATIVE, NATIVE / "policy")
    words = ["cc", *SANITIZED, "-fsanitize=address,undefined", f"-DKEPT={kept_of(policy)}", "-w"]
    words += [*(f"-I{folder}" for folder in folders), "-o", "random", *sources, "-rdynamic", "-lm"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    if "-lasan" in done.stderr or "-fsanitize" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert not done.returncode, done.stderr
    told = {"JAXMEM_CUDA_ARENA": 400 * UNIT, "JAXMEM_CUDA_LOG": tmp_path / "log"}
    told |= {"JAXMEM_CUDA_DEPTH": 0, "FAKE_LOG": "/dev/null", "ASAN_OPTIONS": "detect_leaks=0"}
    environment = {**os.environ, **{name: str(value) for name, value in told.items()}}
    done = subprocess.run(
        [tmp_path / "random"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = read_live(tmp_path / "log", "run", "program")
    again = replayed(events_under(policy, run), 400, live_player_of(policy), lambda share: None)
    assert differences(run, again) == []
    assert run.figures.failed > 10


STEPS = """
import {module}torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(300, 500), torch.nn.ReLU(), torch.nn.Linear(500, 7))
model = model.cuda()
optimizer, side = torch.optim.Adam(model.parameters()), torch.cuda.Stream()
for _ in range(20):
    x = torch.randn(640, 300, device="cuda")
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        more = (x * 2).sum()
    x.record_stream(side)
    torch.cuda.current_stream().wait_stream(side)
    loss = model(x).square().mean() + 0 * more
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item())
"""


def test_torch_takes_it_and_trains_as_before_where_there_is_a_gpu(tmp_path):
    torch = pytest.importorskip("torch")
    assert main(["export", "best", "to=cuda", f"out={tmp_path / 'out'}"]) == 0
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "out")}
    if not torch.cuda.is_available():
        code = "import jaxmem_cuda, torch; print(torch.cuda.memory._get_current_allocator())"
        words = [sys.executable, "-c", code]
        subprocess.run(words, env=environment, check=True, capture_output=True)
        pytest.skip("there is no GPU; it was chosen only")
    log = tmp_path / "log"
    environment |= {"JAXMEM_CUDA_LOG": str(log), "JAXMEM_CUDA_ARENA": str(2**28)}
    losses = [
        subprocess.run(
            [sys.executable, "-c", STEPS.format(module=module)],
            env=environment, check=True, capture_output=True, text=True, timeout=300,
        ).stdout
        for module in ("", "jaxmem_cuda, ")
    ]  # fmt: skip
    assert losses[0] == losses[1]
    run = read_live(log, "steps", "steps")
    best = live_player_of(read_exported("best"))
    again = replayed(events_of(run.recording, UNIT), 2**28 // UNIT, best, lambda share: None)
    assert differences(run, again) == []
    assert run.recording.requests > 500


def test_an_export_is_the_library_and_the_module_that_chooses_it(tmp_path, capsys):
    assert main(["export", "best", "to=cuda", f"out={tmp_path / 'out'}"]) == 0
    assert f"{LIBRARY}, {MODULE}" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "out" / LIBRARY).read_bytes().startswith(b"\x7fELF")
    compile((tmp_path / "out" / MODULE).read_text(), MODULE, "exec")
