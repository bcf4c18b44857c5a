"""Help texts: the verbs of the program, and what can be set of each."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from jaxmem.configuration import GROUPS, choices_of, chosen, configuration_folder, file_of
from jaxmem.names import TRAINING_WORDS
from jaxmem.verbs import VERBS

HELP = ("--help", "-h")
SETTING = re.compile(r"\s*(\w+):.*?  # (.*)")  # in a file of settings, with its comment
CHOICE = {"workload": "source"}  # the key of the choice itself, which is no setting; else name


def help_of_all() -> str:
    """Lists every verb in a line."""
    return (
        "jaxmem: learn where in memory a block should go\n\n"
        f"usage: jaxmem VERB [key=value ...]\n\n{_verb_lines(list(VERBS))}\n\n"
        "jaxmem VERB --help shows what can be set, and examples; jaxmem VERB [key=value ...] "
        "--cfg job\nshows the whole configuration that these words make, and runs nothing."
    )


def help_of_many(first: str, verbs: list[str]) -> str:
    """Lists the verbs of two words that begin with this one."""
    return (
        f"usage: jaxmem {first} VERB ...\n\n{_verb_lines(verbs)}\n\n"
        f"jaxmem {verbs[0]} --help shows what can be set, and examples."
    )


def help_of(name: str, overrides: list[str]) -> str:
    """Describes what can be set of a verb, with the settings of what `overrides` choose.

    Raises:
        UsageError: an override that does not parse, or names a choice that is not there.
    """
    verb, folder = VERBS[name], configuration_folder()
    settings = (folder / file_of(name)).read_text(encoding="utf-8").strip()
    parts = [
        f"jaxmem {name}: {verb.summary}",
        f"usage: {verb.usage}",
        "\n".join(["examples:", *(f"  {example}" for example in verb.examples)]),
    ]
    groups = [group for group in GROUPS if f"- {group}:" in settings]
    if groups:
        parts.append("choices, each with settings of its own, set as GROUP.key=value:")
    for group in groups:
        abouts = (
            f"    {choice:22} {_about(folder / group, choice)}"
            for choice in choices_of(folder, group)
        )
        parts.append("\n".join([f"  {group}:", *abouts]))
    if groups:
        parts.append(
            "settings of what is chosen, and their defaults (with another choice, as "
            f"{groups[-1]}={choices_of(folder, groups[-1])[0]} --help, that one's):"
        )
        choices, values = chosen(name, overrides)
        parts += [_settings(folder / group, choices[group], values[group]) for group in groups]
    if "learner" in groups:
        parts.append("\n".join(["words:", *(f"  {words}" for words in TRAINING_WORDS)]))
    return "\n\n".join([*parts, f"settings and their defaults:\n\n{settings}"])


def _verb_lines(verbs: list[str]) -> str:
    longest = max(map(len, verbs))
    return "\n".join(f"  {verb:{longest}}  {VERBS[verb].summary}" for verb in verbs)


def _about(group: Path, choice: str) -> str:
    """Returns the comment that the file of a choice begins with, after Hydra's own."""
    file = group / f"{choice}.yaml"
    if not file.exists():
        return "registered from outside"
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if not line.startswith("# @")).removeprefix("# ")


def _settings(group: Path, choice: str, values: Mapping[str, object]) -> str:
    """Describes each setting of a choice in a line: how it is set, to what, and what it means."""
    comments = _comments(group, choice)
    lines = [f"  {group.name}={choice}"]
    own = CHOICE.get(group.name, "name")
    for name in (name for name in values if name != own):
        value = yaml.safe_dump(values[name], default_flow_style=True, width=10**6)
        written = f"{group.name}.{name}={value.splitlines()[0]}"
        comment = f"  # {comments[name]}" if name in comments else ""
        lines.append(f"    {written:34}{comment}".rstrip())
    return "\n".join(lines)


def _comments(group: Path, choice: str) -> dict[str, str]:
    """Collects what the files that a choice is made of say of each setting."""
    file = group / f"{choice}.yaml"
    if not file.exists():  # registered from outside
        return {}
    text = file.read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for base in yaml.safe_load(text).get("defaults", []):
        if base in choices_of(group.parent, group.name):
            found |= _comments(group, base)
    matches = filter(None, map(SETTING.fullmatch, text.splitlines()))
    return found | {match[1]: match[2] for match in matches}
