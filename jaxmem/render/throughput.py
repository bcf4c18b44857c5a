"""The speed of everything: the tables and the pictures of a bench, from its results.json."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from jaxmem.render.palette import policy_title
from jaxmem.render.report import Results
from jaxmem.render.tables import markdown_lines, plain_table

REFERENCE_TITLES = {
    "python_loop": "Python loops",
    "numpy": "NumPy",
    "numba": "Numba",
    "c": "C, one thread",
    "cartpole": "CartPole",
}
RATIOS = (
    "how many times as fast as each reference, the median of the ratios within a round; "
    "C: by CPU seconds, the others: by the clock"
)
SPREADS_FROM = 90  # characters, from which the spread of both figures is shown


def bench_tables(results: Results, width: int) -> list[Table]:
    """Makes the tables of the bench for a terminal of `width` characters."""
    wide = width >= SPREADS_FROM
    title = f"{_policy(results)}: environment steps, median (middle half) on {results['device']}"
    tables = [_rich_table(title, _speed_header(), _speed_rows(results, wide))]
    if _any_ratio(results):
        tables.append(_rich_table(RATIOS, _ratio_header(), _ratio_rows(results)))
    if rows := _learner_rows(results, wide):
        tables.append(_rich_table("learner and evaluation", _learner_header(), rows))
    if results["reasons"]:
        tables[-1].caption = Text("\n".join(_throughput_notes(results)), style="dim")
        tables[-1].caption_justify = "left"
    return tables


def bench_markdown(results: Results) -> str:
    """Writes the whole bench as a Markdown page, table.md."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [
        f"# {_policy(results)}: steps a second\n",
        f"Median (middle half) of {results['rounds']} rounds of {results['seconds']} s each, "
        "everything in turn in each round, compilation apart.\n",
        f"`{results['command']}` on {results['device']}; {versions}.\n",
        "## Environment\n",
        _markdown_table(_speed_header(), _speed_rows(results, wide=True)),
    ]
    if _any_ratio(results):
        parts += [f"## Beside the references\n\n{RATIOS[0].upper()}{RATIOS[1:]}.\n"]
        parts += [_markdown_table(_ratio_header(), _ratio_rows(results))]
    if results["references"]:
        header = ["reference", "cells", "arenas", "observation", "steps / s", "per CPU s"]
        parts += ["## References\n", _markdown_table(header, _reference_rows(results))]
    if rows := _learner_rows(results, wide=True):
        parts += ["## Learner and evaluation\n", _markdown_table(_learner_header(), rows)]
    return "\n".join([*parts, *(f"{note}\n" for note in _throughput_notes(results))])


def short_ratio(ratio: float | None) -> str:
    """Writes a ratio in three digits: 0.284, 2.84, 28.4, 1,187; a dash where there is none."""
    if ratio is None:
        return "-"
    return three_digits(ratio)


def three_digits(number: float) -> str:
    """Writes a number from 0.001 on in three digits, ending zeros too: 2.00, 28.4, 284, 1,230."""
    return f"{number:,.0f}" if number >= 100 else f"{number:#.3g}".rstrip(".")


def spread_of(figure: Mapping[str, float], spread: bool = True) -> str:
    """Writes a median with the middle half, in one unit: "11.5 M (11.3, 11.9)"; or it alone."""
    units = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
    unit, name = next(((unit, name) for unit, name in units if figure["median"] >= unit), (1.0, ""))
    median, low, high = (three_digits(figure[key] / unit) for key in ("median", "low", "high"))
    return f"{median}{name} ({low}, {high})" if spread else f"{median}{name}"


def _policy(results: Results) -> str:
    return policy_title(results["environment"][0]["policy"])


def _any_ratio(results: Results) -> bool:
    rows = results["environment"]
    return any(ratio is not None for row in rows for ratio in row["ratio"].values())


def _speed_header() -> list[str]:
    return ["observation", "cells", "arenas", "steps / s", "per CPU s", "compile", "B / arena"]


def _speed_rows(results: Results, wide: bool) -> list[list[str]]:
    return [
        [
            *_setting(row),
            spread_of(row["steps_per_second"]),
            spread_of(row["per_cpu_second"], wide),
            f"{row['compile_seconds']:.1f} s",
            f"{row['bytes_per_arena']:,}",
        ]
        for row in results["environment"]
    ]


def _ratio_header() -> list[str]:
    return ["observation", "cells", "arenas", *REFERENCE_TITLES.values()]


def _ratio_rows(results: Results) -> list[list[str]]:
    return [
        [*_setting(row), *(short_ratio(row["ratio"].get(name)) for name in REFERENCE_TITLES)]
        for row in results["environment"]
    ]


def _reference_rows(results: Results) -> list[list[str]]:
    return [
        [
            str(REFERENCE_TITLES.get(row["name"], row["name"])),
            "-" if row["cells"] is None else f"{row['cells']:,}",
            f"{row['arenas']:,}",
            str(row["observation"] or "its own"),
            spread_of(row["steps_per_second"]),
            spread_of(row["per_cpu_second"]),
        ]
        for row in results["references"]
    ]


def _learner_header() -> list[str]:
    return ["program", "steps / s", "per CPU s", "compile"]


def _learner_rows(results: Results, wide: bool) -> list[list[str]]:
    rows = []
    if learner := results["training"]:
        rows.append(
            [
                f"train {learner['learner']}, {learner['arenas']:,} arenas",
                spread_of(learner["steps_per_second"]),
                spread_of(learner["per_cpu_second"], wide),
                f"{learner['compile_seconds']:.1f} s",
            ]
        )
    for row in results["evaluation"]:
        title = f"evaluate {policy_title(row['policy'])}, {row['sequences']:,} sequences"
        figures = [spread_of(row["steps_per_second"]), spread_of(row["per_cpu_second"], wide)]
        rows.append([title, *figures, "-"])
    return rows


def _setting(row: Mapping[str, object]) -> list[str]:
    return [str(row["observation"]), f"{row['cells']:,}", f"{row['arenas']:,}"]


def _throughput_notes(results: Results) -> list[str]:
    reasons = results["reasons"].items()
    return [f"{REFERENCE_TITLES.get(name, name)}: {why}" for name, why in reasons]


def _rich_table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = plain_table(title)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _markdown_table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(markdown_lines(header, rows)) + "\n"
