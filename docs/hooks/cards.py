"""The card of each task, made of the registry, its settings and the stored study."""

import inspect
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jaxmem
from jaxmem.environment.actions import ACTION_SPACES
from jaxmem.environment.environment import Environment
from jaxmem.environment.rewards import REWARDS
from jaxmem.rules import RULES
from jaxmem.workloads import registry

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
STUDY = "experiments/results/placement_study"
MARK = "<!-- cards -->"  # in tasks.md, where they go
SETTING = re.compile(r"^(?P<name>\w+): (?P<usual>\S+)  # (?P<words>.*)$", re.M)
SHAPED = ("candidates", "bitmap")  # observations that are one array


def on_page_markdown(markdown: str, page: "Page", **_: object) -> str | None:
    """Puts the cards where the page of tasks has its mark."""
    return markdown.replace(MARK, cards()) if page.file.src_uri == "tasks.md" else None


def cards() -> str:
    """Returns what all tasks share, and a section for every one, in the order of the registry."""
    study = json.loads((ROOT / STUDY / "results.json").read_text(encoding="utf-8"))
    parts = [card(name, study["rows"], study["study"]["sequences"]) for name in jaxmem.tasks()]
    return "\n\n".join([f"Rewards, of every task: {_rewards()}.", *parts])


def card(name: str, rows: dict, sequences: int) -> str:
    """Returns the card of a task.

    Args:
        rows: of the study, by name; a task may have one without and one with hints.
        sequences: that these were tested on.
    """
    task = registry.workload(name)
    first, *settings = (ROOT / f"conf/workload/{name}.yaml").read_text("utf-8").splitlines()
    about = first.removeprefix("# ")
    lines = [f"### {name}", "", f"*{about[0].upper()}{about[1:]}.* {_drawn(name)}", ""]
    env = Environment(cells=task.cells, horizon=task.length)
    actions = {kind: replace(env, actions=kind, observation="bitmap") for kind in ACTION_SPACES}
    lines += [f"| arena | {task.cells} cells |", "|:--|:--|"]
    shapes = [
        f"`{kind}`: float32{list(replace(env, observation=kind).observation_shape)}"
        for kind in SHAPED
    ]
    lines.append(f"| observation | {', '.join(shapes)} |")
    counted = [f"`{kind}`: {env.num_actions}" for kind, env in actions.items()]
    lines.append(f"| actions | {', '.join(counted)}, the last of them *refuse* |")
    lines.append(f"| reward | {', '.join(f'`{name}`' for name in REWARDS)} |")
    lines.append(f"| end | {_ending(task)} |")
    for option in SETTING.finditer("\n".join(settings)):
        lines.append(
            f"| `workload.{option['name']}` | default `{option['usual']}`; {option['words']} |"
        )
    found = [(key, row) for key, row in rows.items() if _is_of(name, key)]
    return "\n".join([*lines, *_scores(found, sequences)])


def _rewards() -> str:
    """Returns the rewards by name, each as its docstring has it."""
    said = {name: (inspect.getdoc(reward) or "") for name, reward in REWARDS.items()}
    return "; ".join(f"`{name}`: {of.removeprefix('Gives ')[:-1]}" for name, of in said.items())


def _drawn(name: str) -> str:
    """Returns what is drawn: the docstring of the generator, up to its first empty line."""
    generator = registry._GENERATORS.get(name)
    if generator is None:
        return ""
    return " ".join((inspect.getdoc(generator.function) or "").split("\n\n")[0].split())


def _ending(task: registry.Workload) -> str:
    """Says when an episode ends, and what of it is counted."""
    words = [f"truncated after {task.length} requests"]
    if task.stop_at_failure:
        words.append("terminated by the first request that fails")
    if task.stop_above < math.inf:
        most = f"{100 * task.stop_above:.0f} %"
        words.append(f"terminated when more than {most} of the arena is live")
    if task.warmup:
        words.append(f"measures leave the first {task.warmup} requests out")
    return "; ".join(words)


def _is_of(name: str, key: str) -> bool:
    """Tells whether a row of the study is of this task: with hints, or trained for longer, too."""
    return key in (name, f"{name}-hints", f"{name}-long")


def _scores(rows: list[tuple[str, dict]], sequences: int) -> list[str]:
    """Returns the reference scores as a table, a row for each row of the study."""
    if not rows:
        return ["", "No reference scores are stored: `jaxmem compare` plays every rule on it."]
    measure = "return" if "return" in rows[0][1]["learned"] else "failed_requests"
    rules = [rule for rule in RULES if any(rule in row["rules"] for _, row in rows)]
    head = ["", *(RULES[rule].title for rule in rules), "learned (95 % interval)"]
    lines = ["", f"| {' | '.join(head)} |", f"|:--|{'--:|' * (len(rules) + 1)}"]
    for key, row in rows:
        learned, table = row["learned"][measure], row["rules"]
        figures = [f"{table[rule][measure]:.2f}" if rule in table else "" for rule in rules]
        best = f"**{learned['mean']:.2f}** [{learned['low']:.2f}, {learned['high']:.2f}]"
        lines.append(f"| {key} | {' | '.join([*figures, best])} |")
    what = "Return until the first failure" if measure == "return" else "Failed requests (%)"
    stored = f"[the study](../{STUDY}/table.md)"
    return [*lines, "", f"{what} on {sequences:,} test sequences, from {stored}."]
