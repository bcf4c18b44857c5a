"""The table of `allocator_study.py`: whether the simulator is right, and what ours costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from jaxmem.render.byte_units import short_bytes
from jaxmem.render.tables import markdown_row

GROWING, BOUND = "grows", 1.05  # times peak live
LIBRARY, OURS = "glibc", "best-fit, ours"


@dataclass
class Equal:
    """A run under a policy, beside its replay."""

    program: str
    policy: str
    arena: str
    requests: int
    same_output: bool  # as of the plain run
    differences: list[str]  # between live run and replay
    peak_live: int  # bytes
    high_water: int  # bytes
    failed: int  # requests
    nanoseconds: float | None  # an operation


@dataclass
class Cost:
    """Runs of a program by an allocator."""

    program: str
    allocator: str
    seconds: list[float]  # of CPU, user and system
    peak_rss: list[int]  # bytes


def table(equal: Sequence[Equal], costs: Sequence[Cost], rounds: int) -> str:
    """Writes table.md."""
    head = ("program", "policy", "arena", "requests", "equal", "output")
    head = (*head, "peak live", "high-water / peak", "failed", "ns an operation")
    lines = ["# Programs under our allocator, beside the simulator", "", _verdict(equal), ""]
    lines += [markdown_row(head), "|:--" * 3 + "|--:" * (len(head) - 3) + "|"]
    for row in equal:
        cells = [row.program, row.policy, row.arena, f"{row.requests:,}"]
        cells += ["no" if row.differences else "yes", "same" if row.same_output else "other"]
        cells += [short_bytes(row.peak_live), f"{row.high_water / row.peak_live:.4f}"]
        cells += [f"{row.failed:,}", "" if row.nanoseconds is None else f"{row.nanoseconds:.0f}"]
        lines.append(markdown_row(cells))
    if costs:
        lines += ["", *_cost_lines(costs, rounds)]
    return "\n".join(lines) + "\n"


def _verdict(equal: Sequence[Equal]) -> str:
    good = [row for row in equal if row.same_output and not row.differences]
    requests = sum(row.requests for row in good)
    return (
        f"In {len(good)} of {len(equal)} runs the output is that of the plain program, and every "
        f"placement and figure that of the replay: {requests:,} placements."
    )


def _cost_lines(costs: Sequence[Cost], rounds: int) -> list[str]:
    kinds = list(dict.fromkeys(row.allocator for row in costs))
    head = ["program", "CPU of glibc, s", *(f"{kind}, CPU" for kind in kinds[1:])]
    head += ["peak RSS of glibc", *(f"{kind}, RSS" for kind in kinds[1:])]
    lines = [
        f"CPU seconds (user and system) and peak RSS over glibc's, medians of {rounds} runs in "
        "turns; ours with its log, and of PyTorch only blocks of 32 KiB and more.",
        "",
        markdown_row(head),
        "|:--" + "|--:" * (len(head) - 1) + "|",
    ]
    for program in dict.fromkeys(row.program for row in costs):
        by = {row.allocator: row for row in costs if row.program == program}
        seconds = {kind: median(row.seconds) for kind, row in by.items()}
        sizes = {kind: median(row.peak_rss) for kind, row in by.items()}
        cells = [program, f"{seconds[LIBRARY]:.2f}"]
        cells += [f"{seconds[kind] / seconds[LIBRARY]:.2f}" for kind in kinds[1:]]
        cells += [short_bytes(sizes[LIBRARY])]
        cells += [f"{sizes[kind] / sizes[LIBRARY]:.2f}" for kind in kinds[1:]]
        lines.append(markdown_row(cells))
    return lines
