"""The findings of `jaxmem trace info`, for a file and for a terminal: views of its results.json."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from rich.table import Table
from rich.text import Text

from jaxmem.names import listed
from jaxmem.render.byte_units import short_bytes
from jaxmem.render.palette import count, policy_title
from jaxmem.render.tables import markdown_lines, plain_table
from jaxmem.rules import RULES

Results = Mapping[str, Any]  # the contents of results.json
NO_FIGURE = "-"
BEST_FIT = 0.99  # of the requests that best fit places, from which on a learned policy is best-fit


# Requests whose sizes are from one power of two to the next, as `size_histogram` counts them.
SizeBin = TypedDict(
    "SizeBin",
    {
        "from": int,
        "to": int,
        "requests": int,
        "bytes": int,
        "lifetime": list[int | None],
        "never_freed": float,
    },
)

FORETOLD = ("lifetimes foretold", "by size", "by call site", "by both")


class Shares(TypedDict):
    """R^2 of log lifetimes, at most 1, and the share of the requests whose call site is known."""

    size: float
    site: NotRequired[float]  # this and what follows where there are call sites
    both: NotRequired[float]
    known: NotRequired[float]


class Foretold(TypedDict):
    """The same where there are call sites."""

    size: float
    site: float
    both: float
    known: float


class Earlier(TypedDict):
    """What results.json says of the earlier run, where one was named."""

    trace: str
    requests: int
    known_sites: float  # share of the call sites that are known from it
    explained: Foretold


def trace_markdown(results: Results) -> str:
    """Writes table.md: the headroom, sizes with their lifetimes, and what the figures mean."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [f"# {results['trace']}", "", *_facts(results), ""]
    lines += markdown_lines(_headroom_header(results), _headroom_rows(results))
    lines += ["", results["verdict"]]
    lines += ["", "Conventions:", ""]
    lines += [f"- {name}: {text}." for name, text in results["conventions"].items()]
    lines += ["", *(f"{note}\n" for note in _info_notes(results))]
    lines += ["## Lifetimes", "", *markdown_lines(FORETOLD, _foretold_rows(results)), ""]
    lines += [f"{note}\n" for note in _foretold_notes(results)]
    header = ["size (bytes)", "requests", "bytes in all", "median lifetime", "middle half", "never"]
    lines += [
        "## Requests by size",
        "",
        *markdown_lines(header, [_size_row(b) for b in results["sizes"]]),
    ]
    lines += ["", f"`{results['command']}` on {results['device']}; {versions}."]
    return "\n".join(lines) + "\n"


def trace_table(results: Results, width: int) -> Table:
    """Makes the table of the headroom for a terminal of `width` characters."""
    table = _table(_headroom_header(results), _headroom_rows(results), width)
    table.title = Text("\n".join(_facts(results)))
    table.caption = Text("\n".join(_info_notes(results)), style="dim")
    return table


def foretold_table(results: Results, width: int) -> Table:
    """Makes the table of what sizes and call sites foretell, for a terminal of `width`."""
    table = _table(FORETOLD, _foretold_rows(results), width)
    table.caption = Text("\n".join(_foretold_notes(results)), style="dim")
    return table


def _table(header: Sequence[str], rows: Sequence[list[str]], width: int) -> Table:
    table = plain_table(width=min(width, 100))
    for number, title in enumerate(header):
        table.add_column(Text(title), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _facts(results: Results) -> list[str]:
    shape = results["rank_correlation"]
    related = "not defined" if shape is None else f"{shape:+.2f}"
    return [
        f"{results['trace']}: {results['events']:,} events, {results['requests']:,} requests; "
        f"at most {count(results['live_blocks'], 'block')} and {results['peak_live']:,} bytes "
        f"({short_bytes(results['peak_live'])}) live, in units of {results['alignment']} bytes "
        f"({results['peak_live_asked']:,} asked for).",
        f"Sizes from {short_bytes(results['smallest'])} to {short_bytes(results['largest'])}; "
        f"never freed: {100 * results['never_freed']:.1f} % of the requests; rank correlation of "
        f"size and lifetime: {related}.",
    ]


def _info_notes(results: Results) -> list[str]:
    notes = [
        "Unbounded: high-water mark / peak live. Bounded: the smallest arena without a failure / "
        "peak live. Failed: % of the requests in an arena of so many times peak live."
    ]
    parted = [rule for rule in RULES.values() if rule.parts_by_size]
    if any(rule.name in results["headroom"]["bounded"] for rule in parted):
        titles = listed([rule.title for rule in parted])
        notes.append(
            f"Small to {titles}: up to {results['threshold']:,} bytes, "
            "a sixteenth of peak live (not tuned)."
        )
    for name in _guarded(results):
        notes.append(
            f"{policy_title(name)} is best-fit here: blocks are so small beside the arena that "
            f"best fit places {100 * results['by_best_fit'][name]:.1f} % of its requests."
        )
    if results["stacked"] < results["requests"]:
        notes.append(
            f"Offline: the {results['stacked']:,} blocks with the largest size x lifetime, and the "
            "others above them, by first fit."
        )
    if results["headroom"]["offline"] == results["headroom"]["lower_bound"]:
        notes.append("The offline packing meets the lower bound: none is lower.")
    if "caching_allocator" in results["headroom"]:
        notes.append(
            "PyTorch: the most that its caching allocator reserves / peak live, as it was in the "
            "recording (where the snapshot tells; with what it had kept from before) and by its "
            "published rules (one stream, default settings, segments are kept)."
        )
    return [*notes, *results["notes"]]


def _guarded(results: Results) -> list[str]:
    """Lists the learned policies that are best-fit here, but for a few requests."""
    return [name for name, share in results["by_best_fit"].items() if share >= BEST_FIT]


def _headroom_header(results: Results) -> list[str]:
    return ["policy", "unbounded", "bounded", *(f"failed at {f}" for f in results["factors"])]


def _headroom_rows(results: Results) -> list[list[str]]:
    found = results["headroom"]
    rows = [
        [
            policy_title(name) + (" (is best-fit)" if name in _guarded(results) else ""),
            _ratio(found["unbounded"].get(name)),
            _ratio(bounded),
            *(_share_text(results["failed_requests"][name][str(f)]) for f in results["factors"]),
        ]
        for name, bounded in found["bounded"].items()
    ]
    method, none = results["offline_method"], [NO_FIGURE] * len(results["factors"])
    by = policy_title(method) if method in found["bounded"] else method
    for source, ratio in found.get("caching_allocator", {}).items():
        rows.append([f"PyTorch, {source.replace('_', ' ')}", _ratio(ratio), NO_FIGURE, *none])
    rows.append([f"offline ({by})", NO_FIGURE, _ratio(found["offline"]), *none])
    return [*rows, ["lower bound", NO_FIGURE, _ratio(found["lower_bound"]), *none]]


def _ratio(value: float | None) -> str:
    return NO_FIGURE if value is None else f"{value:.4f}"


def _share_text(value: float) -> str:
    """Writes a share in %; one that is not zero does not look like it."""
    return f"{value:.2f}" if value == 0 or value >= 0.005 else "<0.01"


def _size_row(row: SizeBin) -> list[str]:
    low, middle, high = ("never" if life is None else f"{life:,}" for life in row["lifetime"])
    return [
        f"{short_bytes(row['from'])} to {short_bytes(row['to'])}",
        f"{row['requests']:,}",
        f"{row['bytes']:,}",
        middle,
        f"{low} to {high}",
        f"{100 * row['never_freed']:.1f} %",
    ]


def _foretold_rows(results: Results) -> list[list[str]]:
    rows = [["by the other requests", *_shares(results["explained"])]]
    earlier = _earlier(results)
    return rows + [[f"by the earlier {of['trace']}", *_shares(of["explained"])] for of in earlier]


def _earlier(results: Results) -> list[Earlier]:
    """Lists the earlier run, or nothing."""
    return [results["earlier"]] if "earlier" in results else []


def _shares(found: Shares | Foretold) -> list[str]:
    by = (found["size"], found.get("site"), found.get("both"))
    return [NO_FIGURE if share is None else f"{share:.2f}" for share in by]


def _foretold_notes(results: Results) -> list[str]:
    found: Shares = results["explained"]
    sites = count(results["call_sites"], "call site")
    return [
        f"{sites}, of {100 * found['known']:.1f} % of the requests."
        if "known" in found
        else "There are no call sites.",
        *(
            f"{of['trace']}, an earlier run of {count(of['requests'], 'request')}, knows "
            f"{100 * of['known_sites']:.1f} % of the call sites, "
            f"{100 * of['explained']['known']:.1f} % of the requests."
            for of in _earlier(results)
        ),
        "R^2 of the log lifetime: 1 is all of it, 0 what the mean of all tells, below 0 less. A "
        "request is foretold by the mean of the others of its size, of its call site, or of both.",
    ]
