"""`jaxmem trace info [EARLIER] FILE`."""

import os
from typing import Any

from jaxmem.arena.arena import NEVER
from jaxmem.commands import checked, tell_where, terminal
from jaxmem.commands.byte_policies import check_byte_policies
from jaxmem.commands.shadowed import tell_shadowed
from jaxmem.configuration import UsageError
from jaxmem.evaluation.provenance import provenance
from jaxmem.recordings import Recording, read_trace
from jaxmem.recordings.byte_play import events_in_bytes
from jaxmem.recordings.caching_allocator import reserved_by_rules
from jaxmem.recordings.explained import explained, explained_by, explained_by_size, known_sites
from jaxmem.recordings.formats.pytorch_cuda import PYTORCH_CUDA
from jaxmem.recordings.headroom import CONVENTIONS, FACTORS, Headroom, headroom
from jaxmem.recordings.packing import check_packing, deaths_of, packing_lines
from jaxmem.recordings.replay import ReplayEvents
from jaxmem.recordings.shape import live_curve, rank_correlation, size_histogram
from jaxmem.render.progress import StagesDisplay
from jaxmem.render.trace_info import foretold_table, trace_markdown, trace_table
from jaxmem.render.trace_picture import draw_trace
from jaxmem.render.trace_verdict import trace_verdict
from jaxmem.run_folder import RunFolder
from jaxmem.settings.recordings import TraceInfoSettings


def run(settings: TraceInfoSettings, command: str) -> int:
    """Replays the recording, prints the table, writes the run folder."""
    console = terminal()
    tell_shadowed(console, settings.policies)
    policies = check_byte_policies(settings.policies)
    recording, earlier = _recordings(settings)
    events, notes = checked(events_in_bytes, recording, settings.alignment)
    out, overwrite = settings.out, settings.overwrite
    with checked(RunFolder, "trace-info", recording.name, out, overwrite) as folder:
        with StagesDisplay(console) as display:
            found = checked(headroom, events, policies, display.report)
        results = {"command": command, **results_of(events, found)}
        if earlier is not None:
            results["earlier"] = _foretold(earlier, recording)
        results["notes"] = [*notes, *(f"Recording: {note}." for note in recording.about.notes)]
        results |= {"verdict": trace_verdict(results), **provenance()}
        # Shown first: a full disk is no reason to lose what was computed.
        console.print(trace_table(results, console.width), "")
        console.print(foretold_table(results, console.width), "")
        with StagesDisplay(console) as display:
            display.report("drawing")
            draw_trace(folder.file("info.png"), results, recording.size, recording.lifetime)
        offsets = found.offline.start
        check_packing(offsets, events.units, deaths_of(recording))
        folder.write_packing(packing_lines(recording, offsets, events.alignment))
        folder.write_config(settings.plain(), command)
        folder.write_table(trace_markdown(results))
        folder.write_results(results)
    tell_where(console, folder.path, "results.json, table.md, info.png, offsets.csv")
    console.print("", results["verdict"], sep="\n")
    return 0


def _recordings(settings: TraceInfoSettings) -> tuple[Recording, Recording | None]:
    """Reads the recording, and the earlier run that is to foretell it, where one is named.

    Raises:
        UsageError: one cannot be read; or with an earlier run, both are one file, or one has no
            call sites that compare.
    """
    file, ahead, device = settings.file, settings.earlier, settings.device
    recording = checked(read_trace, file, device=device)
    if ahead is None:
        return recording, None
    earlier = checked(read_trace, ahead, device=device)
    if os.path.samefile(ahead, file):
        raise UsageError(f"{file} is named twice; name an earlier run of the program ahead of it")
    for name, one in ((ahead, earlier), (file, recording)):
        if one.site_key is None or not one.sites:
            raise UsageError(
                f"{name} has no call sites that mean the same in every run, by which one run "
                "foretells another; recorder=preload of jaxmem trace record keeps such"
            )
    return recording, earlier


def _foretold(earlier: Recording, recording: Recording) -> dict[str, object]:
    """Makes what results.json says of an earlier run."""
    found = explained_by(earlier, recording)
    assert found is not None  # both have call sites that compare
    return {
        "trace": earlier.name,
        "requests": earlier.requests,
        "known_sites": known_sites(earlier, recording),
        "explained": found._asdict(),
    }


def results_of(events: ReplayEvents, found: Headroom) -> dict[str, Any]:
    """Makes the results.json of a recording, but for what it was computed with."""
    recording, alignment = events.recording, events.alignment
    caching_allocator = _caching_allocator(recording)
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
        "call_sites": recording.sites,
        "explained": _explained(recording),
        "headroom": {**found.ratios(), **_over(caching_allocator, events.peak_live * alignment)},
        "factors": list(FACTORS),
        "failed_requests": _by_text(found.failed),
        "failed_bytes": _by_text(found.failed_bytes),
        **{
            key: {name: units * alignment for name, units in of.items()}
            for key, of in in_bytes.items()
        },
        "threshold": found.threshold * alignment,
        "stacked": found.offline.stacked,
        "offline_method": found.offline.method,
        "lower_bound": events.peak_live * alignment,
        "by_best_fit": found.by_best_fit,
        **({"caching_allocator": caching_allocator} if caching_allocator else {}),
        "most_holes": found.most_holes,
        "conventions": CONVENTIONS,
        "sizes": size_histogram(recording),
        "live": live_curve(events.live * alignment),
    }


def _explained(recording: Recording) -> dict[str, float]:
    """Tells how much of the lifetimes is foretold within a recording; no call sites: by size."""
    found = explained(recording)
    return {"size": explained_by_size(recording)} if found is None else found._asdict()


def _caching_allocator(recording: Recording) -> dict[str, int]:
    """Computes the bytes that PyTorch's allocator reserves: as recorded, where told, and by rule.

    Nothing for what is no recording of it.
    """
    if recording.about.format != PYTORCH_CUDA.name:
        return {}
    reserved = recording.about.reserved
    return {
        **({"recorded": reserved} if reserved else {}),
        "by_its_rules": reserved_by_rules(recording),
    }


def _over(amounts: dict[str, int], peak: int) -> dict[str, dict[str, float]]:
    """Divides what PyTorch's allocator reserves by peak live, for `headroom` in results.json."""
    ratios = {name: amount / peak for name, amount in amounts.items()}
    return {"caching_allocator": ratios} if ratios else {}


def _by_text(shares: dict[str, dict[float, float]]) -> dict[str, dict[str, float]]:
    """Returns the same with keys as JSON has them."""
    return {name: {str(f): share for f, share in row.items()} for name, row in shares.items()}
