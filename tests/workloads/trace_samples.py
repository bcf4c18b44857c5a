"""Random programs, what a plain replay makes of them, and how each format writes them down."""

import pickle
from collections.abc import Callable

from hypothesis import strategies as st

from jaxmem.workloads.requests import NEVER

Event = tuple[str, int, int]  # a, r or f; block; bytes


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


WRITTEN: dict[str, Callable[[list[Event]], bytes]] = {
    "events": as_events,
    "valgrind": as_valgrind,
    "mtrace": as_mtrace,
    "malloc-lab": as_malloc_lab,
    "wee-alloc": as_wee_alloc,
    "pytorch-cuda": as_snapshot,
}
EXAMPLE: list[Event] = [("a", 0, 24), ("a", 1, 100), ("r", 0, 48), ("f", 1, 0), ("a", 2, 8)]
