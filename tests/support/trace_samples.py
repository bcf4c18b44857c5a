"""Random programs, what a plain replay makes of them, and how each format writes them down."""

import json
import pickle
from collections.abc import Callable
from functools import partial

from hypothesis import strategies as st

from jaxmem.arena.arena import NEVER
from jaxmem.recordings import Recording, read_trace_bytes

Event = tuple[str, int, int]  # a, r or f; block; bytes


def read(text: str) -> Recording:
    """What is read of a file with this text."""
    return read_trace_bytes(text.encode(), "trace.txt", most_lines=1000)


def contents(recording: Recording) -> tuple[list[int], list[int]]:
    """The sizes and lifetimes of a recording."""
    return recording.size.tolist(), recording.lifetime.tolist()


@st.composite
def programs(draw) -> list[Event]:
    """Events in which blocks are allocated, reallocated, freed, and their names used again."""
    events: list[Event] = []
    live: list[int] = []
    for _ in range(draw(st.integers(1, 30))):
        kind = draw(st.sampled_from("aarf")) if live else "a"
        if kind == "a":
            block = draw(st.sampled_from([name for name in range(40) if name not in live]))
            live.append(block)
        else:
            block = draw(st.sampled_from(live))
        if kind == "f":
            live.remove(block)
        events.append((kind, block, 0 if kind == "f" else draw(st.integers(1, 2**40))))
    return events


def replayed(events: list[Event]) -> tuple[list[int], list[int]]:
    """Sizes and lifetimes; a realloc is a new block, then the end of the old one."""
    size: list[int] = []
    lifetime: list[int] = []
    live: dict[int, int] = {}
    for kind, block, amount in events:
        old = live.pop(block, None)
        if kind != "f":
            live[block] = len(size)
            size.append(amount)
            lifetime.append(NEVER)
        if old is not None:
            lifetime[old] = len(size) - old
    return size, lifetime


def steps(events: list[Event], in_place: bool = False) -> list[tuple[str, int, int, int]]:
    """The events with addresses, each the lowest that is free: a, r or f; new; old; bytes.

    in_place: blocks with an even name stay where they are when they are reallocated.
    """
    place: dict[int, int] = {}
    told: list[tuple[str, int, int, int]] = []
    for kind, block, amount in events:
        new = old = place.get(block, 0)
        if kind == "a" or (kind == "r" and not (in_place and block % 2 == 0)):
            new = next(64 * n for n in range(1, 100) if 64 * n not in place.values())
        told.append((kind, new, old, amount))
        if kind == "f":
            del place[block]
        else:
            place[block] = new
    return told


def as_events(events: list[Event]) -> bytes:
    rows = ["op,id,size"]
    for kind, new, old, amount in steps(events):
        rows += [f"a,{new:x},{amount}"] if kind != "f" else []
        rows += [f"f,{old:x},0"] if kind != "a" else []
    return "\n".join(rows).encode()


def as_valgrind(events: list[Event]) -> bytes:
    rows = ["==71== Memcheck, a memory error detector", "==71== Command: ./program -x"]
    for kind, new, old, amount in steps(events, in_place=True):
        rows.append(
            {
                "a": f"--71-- malloc({amount}) = 0x{new:X}",
                "r": f"--71-- realloc(0x{old:X},{amount}) = 0x{new:X}",
                "f": f"--71-- free(0x{old:X})",
            }[kind]
        )
        rows.append("what the program prints (itself)")
    return "\n".join(rows).encode()


def as_mtrace(events: list[Event]) -> bytes:
    rows = ["= Start"]
    for kind, new, old, amount in steps(events, in_place=True):
        at = "@ ./program:(main+0x1d)[0x55d0] "
        rows += {
            "a": [f"{at}+ {new:#x} {amount:#x}"],
            "r": [f"{at}< {old:#x}", f"{at}> {new:#x} {amount:#x}"],
            "f": [f"{at}- {old:#x}"],
        }[kind]
    return "\n".join([*rows, "= End"]).encode()


def as_malloc_lab(events: list[Event]) -> bytes:
    rows = ["20000", "40", str(len(events)), "1"]
    for kind, block, amount in events:
        rows.append(f"{kind} {block}" + (f" {amount}" if kind != "f" else ""))
    return "\n".join(rows).encode()


def as_wee_alloc(events: list[Event]) -> bytes:
    rows: list[str] = []
    index: dict[int, int] = {}
    for kind, block, amount in events:
        old = index.get(block)
        if kind != "f":
            index[block] = sum(row.startswith("Alloc") for row in rows)
            rows.append(f"Alloc({amount}),")
        if kind != "a":
            rows.append(f"Free({old}),")
    return "\n".join(rows).encode()


def as_snapshot(events: list[Event]) -> bytes:
    trace: list[dict] = []
    sizes: dict[int, int] = {}
    frames = [{"filename": "train.py", "line": 7, "name": "step"}]
    for kind, new, old, amount in steps(events):
        if kind != "f":
            sizes[new] = amount
            more = {"stream": 0, "time_us": 5, "frames": frames}
            trace.append({"action": "alloc", "addr": new, "size": amount, **more})
        if kind != "a":
            for action in ("free_requested", "free_completed"):
                event = {"action": action, "addr": old, "size": sizes[old], "stream": 0}
                trace.append({**event, "frames": []})
    return pickle.dumps({"segments": [], "device_traces": [trace]})


def as_script(events: list[Event]) -> bytes:
    rows = ["# a program", ""]
    for kind, block, amount in events:
        rows += [f"{kind} {block}" + (f" {amount}" if kind != "f" else ""), "  # next"]
    return "\n".join(rows).encode()


def as_android(events: list[Event], timed: bool = False) -> bytes:
    rows = []
    for number, (kind, new, old, amount) in enumerate(steps(events, in_place=True)):
        row = {
            "a": f"310: malloc {new:#x} {amount}",
            "r": f"311: realloc {new:#x} {old:#x} {amount}",
            "f": f"311: free {old:#x}",
        }[kind]
        rows.append(row + (f" {2 * number} {2 * number + 1}" if timed else ""))
    return "\n".join([*rows, "311: thread_done 0x0" + " 99" * timed]).encode()


def as_logalloc(events: list[Event], prepared: bool = False) -> bytes:
    rows = []
    sign = "#" if prepared else "0x"
    for kind, new, old, amount in steps(events, in_place=True):
        first, second = (f"{sign}{address:{'d' if prepared else 'x'}}" for address in (new, old))
        rows.append(
            {
                "a": f"901 902 malloc({amount})={first}",
                "r": f"901 901 realloc({second},{amount})={first}",
                "f": f"901 901 free({second})",
            }[kind]
        )
    return "\n".join([*rows, "901 901 jemalloc_stats()"]).encode()


def as_ltrace(events: list[Event], full: bool = False) -> bytes:
    """full: with processes, times, instructions, and calls that are cut in two."""
    rows = []
    for number, (kind, new, old, amount) in enumerate(steps(events, in_place=True)):
        call, result = {
            "a": (f"malloc({amount}", f"{new:#x}"),
            "r": (f"realloc({old:#x}, {amount}", f"{new:#x}"),
            "f": (f"free({old:#x}", "<void>"),
        }[kind]
        name = call.partition("(")[0]
        if full:
            before = f"310 02:29:36.{number:06} [0x55d0] "
            rows += [f"{before}{call} <unfinished ...>", f"{before}SYS_brk(0) = {new:#x}"]
            rows += [f"{before}<... {name} resumed> ) = {result}"]
        else:
            rows += [f"p->{call})   = {result}", 'p->puts("malloc(5)")   = 10']
    return "\n".join([*rows, "+++ exited (status 0) +++"]).encode()


def as_heaptrack(events: list[Event], raw: bool = False) -> bytes:
    """raw: as heaptrack writes it; otherwise as it prepares it, a call stack for each block."""
    rows = ["v 10400 3", "X ./program -x", "I 1000 5e2921", "t 1 0", "c 1a"]
    numbers: dict[int, int] = {}  # address -> its pair of size and call stack
    pairs = 0
    for kind, new, old, amount in steps(events):
        if kind != "f":
            numbers[new] = pairs
            rows += [] if raw else [f"a {amount:x} {pairs + 1:x}"]
            rows.append(f"+ {amount:x} 1 {new:x}" if raw else f"+ {pairs:x}")
            pairs += 1
        if kind != "a":
            rows.append(f"- {old:x}" if raw else f"- {numbers[old]:x}")
    return "\n".join(rows).encode()


def as_rmm(events: list[Event]) -> bytes:
    rows = ["Thread,Time,Action,Pointer,Size,Stream"]
    sizes: dict[int, int] = {}
    for kind, new, old, amount in steps(events):
        if kind != "f":
            sizes[new] = amount
            rows.append(f"7001,10:02:11.000101,allocate,{new:#x},{amount},0x2")
        if kind != "a":
            rows.append(f"7001,10:02:11.000101,free,{old:#x},{sizes[old]},0x2")
    return "\n".join(rows).encode()


def as_umpire(events: list[Event]) -> bytes:
    rows = ["the program says {"]
    begin = '{ "kind":"replay", "uid":1, "timestamp":1, '
    for kind, new, old, amount in steps(events, in_place=True):
        name = {"a": "allocate", "r": "reallocate", "f": "deallocate"}[kind]
        payload = {
            "a": f'"allocator_ref": "0x10", "size": {amount}',
            "r": f'"ptr": "{old:#x}", "size": {amount}, "allocator_ref": "0x10"',
            "f": f'"allocator_ref": "0x10", "memory_ptr": "{old:#x}"',
        }[kind]
        row = f'{begin}"event": "{name}", "payload": {{ {payload} }}'
        rows.append(row + " }")
        if kind == "r":  # what it does in turn
            inner = f'"allocator_ref": "0x10", "memory_ptr": "{old:#x}"'
            rows.append(f'{begin}"event": "deallocate", "payload": {{ {inner} }} }}')
        if kind != "f":
            rows.append(f'{row}, "result": {{ "memory_ptr": "{new:#x}" }} }}')
    return "\n".join(rows).encode()


def as_umpire_operations(events: list[Event]) -> bytes:
    rows: list[str] = []

    def operation(name: str, size: int | None = None, **places: str) -> None:
        value: dict = {"category": "operation", "name": name}
        value |= {"numeric_args": {"size": size}} if size is not None else {}
        value["string_args"] = {"allocator_ref": "0x10", **places}
        value |= {"tags": {"replay": "true"}, "timestamp": 1}
        rows.append(json.dumps(value, separators=(",", ":")))

    for kind, new, old, amount in steps(events, in_place=True):
        if kind == "a":
            operation("allocate", amount, pointer=f"{new:#x}")
        elif kind == "f":
            operation("deallocate", pointer=f"{old:#x}")
        else:
            operation("reallocate", amount, current_ptr=f"{old:#x}")
            operation("allocate", amount, pointer="0xfff")
            operation("reallocate", new_ptr=f"{new:#x}")
    return "\n".join(rows).encode()


def memory_event(time: float, address: int, size: int, index: int, device: int = -1) -> dict:
    """An event of torch's profiler, on the CPU or a CUDA device."""
    arguments = {"Total Allocated": 0, "Bytes": size, "Addr": address, "Ev Idx": index}
    arguments |= {"Device Id": device, "Device Type": int(device >= 0)}
    named = {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]"}
    return {**named, "pid": 1, "tid": 1, "ts": time, "args": arguments}


def as_torch_profiler(events: list[Event]) -> bytes:
    rows: list[dict] = []
    sizes: dict[int, int] = {}
    for kind, new, old, amount in steps(events):
        if kind != "f":
            sizes[new] = amount
            rows.append(memory_event(len(rows) // 2, new, amount, len(rows)))
        if kind != "a":
            rows.append(memory_event(len(rows) // 2, old, -sizes[old], len(rows)))
    # By thread, not by time.
    other = {"ph": "X", "cat": "cpu_op", "name": "aten::mm [memory]", "ts": 5, "args": {}}
    return json.dumps({"schemaVersion": 1, "traceEvents": [other, *rows[::-1]]}, indent=1).encode()


# By the name of the format, for several ways to write it with what is special behind a colon.
WRITTEN: dict[str, Callable[[list[Event]], bytes]] = {
    "events": as_events,
    "valgrind": as_valgrind,
    "mtrace": as_mtrace,
    "malloc-lab": as_malloc_lab,
    "malloc-lab: script": as_script,
    "wee-alloc": as_wee_alloc,
    "pytorch-cuda": as_snapshot,
    "android": as_android,
    "android: timed": partial(as_android, timed=True),
    "logalloc": as_logalloc,
    "logalloc: prepared": partial(as_logalloc, prepared=True),
    "ltrace": as_ltrace,
    "ltrace: full": partial(as_ltrace, full=True),
    "heaptrack": as_heaptrack,
    "heaptrack: raw": partial(as_heaptrack, raw=True),
    "rmm": as_rmm,
    "umpire": as_umpire,
    "umpire: operations": as_umpire_operations,
    "torch-profiler": as_torch_profiler,
}
EXAMPLE: list[Event] = [("a", 0, 24), ("a", 1, 100), ("r", 0, 48), ("f", 1, 0), ("a", 2, 8)]
