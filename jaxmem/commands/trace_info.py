"""`jaxmem trace info FILE`."""

from typing import Any

from jaxmem.commands import check_list, check_switch, checked, tell_where, terminal
from jaxmem.configuration import UsageError
from jaxmem.evaluation.headroom import CONVENTIONS, FACTORS, Headroom, headroom
from jaxmem.evaluation.replay import Events, events_of
from jaxmem.evaluation.surroundings import surroundings
from jaxmem.evaluation.trace_shape import live_curve, rank_correlation, size_histogram
from jaxmem.names import nearest
from jaxmem.policies.orders import ORDERED
from jaxmem.policies.saved import SHIPPED
from jaxmem.policies.saved_scorer import SCORERS, load_scorer
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.trace_info import trace_markdown, trace_table
from jaxmem.render.trace_picture import draw_trace
from jaxmem.run_folder import RunFolder
from jaxmem.workloads.requests import NEVER
from jaxmem.workloads.traces import read_trace

MOST_ALIGNMENT = 2**21  # bytes, a large page


def run(config: dict[str, Any], command: str) -> int:
    """Replays the recording, prints the table, writes the run folder."""
    console = terminal()
    policies, alignment = check_policies(config), check_alignment(config)
    overwrite = check_switch(config, "overwrite")
    recording = checked(read_trace, config["file"])
    events = checked(events_of, recording, alignment)
    with checked(RunFolder, "trace-info", recording.name, config["out"], overwrite) as folder:
        with StagesDisplay(console) as display:
            found = checked(headroom, events, policies, display.report)
        results = {"command": command, **results_of(events, found), **surroundings()}
        # Shown first: a full disk is no reason to lose what was computed.
        console.print(trace_table(results, console.width), "")
        with StagesDisplay(console) as display:
            display.report("drawing")
            draw_trace(folder.file("info.png"), results, recording.size, recording.lifetime)
        folder.write_config(config, command)
        folder.write_table(trace_markdown(results))
        folder.write_results(results)
    tell_where(console, folder.path, "results.json, table.md, info.png")
    return 0


def results_of(events: Events, found: Headroom) -> dict[str, Any]:
    """The results.json of a recording, but for what it was computed with."""
    recording, alignment = events.recording, events.alignment
    in_bytes = {
        "high_water_mark": found.unbounded,
        "arena_needed": found.bounded,
    }
    return {
        "trace": recording.name,
        "events": recording.events,
        "requests": recording.requests,
        "alignment": alignment,
        "peak_live": events.peak_live * alignment,
        "peak_live_asked": recording.peak_live,
        "live_blocks": events.blocks,
        "smallest": int(recording.size.min()),
        "largest": int(recording.size.max()),
        "never_freed": float((recording.lifetime == NEVER).mean()),
        "rank_correlation": rank_correlation(recording),
        "headroom": found.ratios(),
        "factors": list(FACTORS),
        "failed_requests": _by_text(found.failed),
        "failed_bytes": _by_text(found.failed_bytes),
        **{
            key: {name: units * alignment for name, units in of.items()}
            for key, of in in_bytes.items()
        },
        "threshold": found.threshold * alignment,
        "stacked": found.stacked,
        "most_holes": found.most_holes,
        "conventions": CONVENTIONS,
        "sizes": size_histogram(recording),
        "live": live_curve(events.live * alignment),
    }


def _by_text(shares: dict[str, dict[float, float]]) -> dict[str, dict[str, float]]:
    """The same with keys as JSON has them."""
    return {name: {str(f): share for f, share in row.items()} for name, row in shares.items()}


def check_policies(config: dict[str, Any]) -> list[str]:
    """The policies asked for, which all play recordings in bytes."""
    names = [str(name) for name in check_list(config, "policies")]
    allowed = (*ORDERED, *SCORERS)
    if not names:
        raise UsageError(f"policies is []; name one or more of {', '.join(allowed)}")
    for name in names:
        if name in SHIPPED:
            raise UsageError(
                f"policies: {name} plays no recording in bytes: it was trained in arenas of a few "
                "hundred cells; jaxmem compare workload=trace plays it where bytes are cut into "
                "cells"
            )
        if name in allowed:
            continue
        if not name.endswith(".safetensors"):
            raise UsageError(
                f"policies: unknown policy {name!r}{nearest(name, allowed)} (or a file "
                "NAME.safetensors of a learned one)"
            )
        checked(load_scorer, name)
    if len(set(names)) < len(names):
        raise UsageError(f"policies is {names}; name each once")
    return names


def check_alignment(config: dict[str, Any]) -> int:
    """The bytes of a unit."""
    alignment = config["alignment"]
    whole = isinstance(alignment, int) and not isinstance(alignment, bool)
    if not whole or not 1 <= alignment <= MOST_ALIGNMENT or alignment.bit_count() != 1:
        raise UsageError(
            f"alignment is {alignment!r}; it must be a power of two from 1 to {MOST_ALIGNMENT}"
        )
    return alignment
