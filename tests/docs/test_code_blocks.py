"""What pages tell a reader to type works: Python is run, commands have their words checked."""

import contextlib
import functools
import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pages
import pytest
import yaml

from jaxmem.cli import main
from jaxmem.commands.multirun.jobs import multirun_of
from jaxmem.export.c_source import SOURCE
from jaxmem.overrides import UsageError
from jaxmem.policies.policy_file import SHIPPED
from jaxmem.rules import NAMES

# Pages whose Python is run by default, with smaller numbers; all run as they stand by name.
QUICK = (
    "docs/how-to/own-reward.md",
    "docs/how-to/gpu.md",
    "docs/your-program/recording.md",
)
SMALLER = ((r"\bstates=[\d_]+", "states=1_000"), (r"\bsequences=[\d_]+", "sequences=8"))
SHELL = ("sh", "")
UNRUN = ("bibtex", "c", "text", "toml")  # in C: a test of its own
WITH_PYTHON = [
    page for page in pages.pages() if any(b.language == "python" for b in pages.blocks_of(page))
]
PROJECT = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Programs of others, or of the reader, whose words are not ours.
PROGRAMS = ("mkdocs", "valgrind", "memray", "cc")
FEW = (re.compile(r"range\(0,\d+\)"), "range(0,2)")  # of many jobs that differ in their seed
# What NAME stands for on pages about things of the reader's own, by the setting.
NAMED = {
    "workload": "comb",
    "policies": "best",
    "environment.reward": "bytes",
    "network": "scorer",
    "learner": "pqn",
    "format": "malloc-lab",
}
INLINE = re.compile(r"`(jaxmem [^`]+)`")


def run_blocks(page, monkeypatch, folder, *, smaller):
    """Runs the Python of a page in one namespace, in a folder of its own."""
    monkeypatch.chdir(folder)
    namespace = {"__name__": "__main__"}
    for block in pages.blocks_of(page):
        if block.language != "python":
            continue
        needs = re.fullmatch(r'title="needs (\w+)"', block.title)
        if needs and find_spec(needs[1]) is None:
            continue
        text = block.text
        for pattern, number in SMALLER if smaller else ():
            text = re.sub(pattern, number, text)
        lines = "\n" * (block.line - 1)  # so that a traceback has the lines of the page
        exec(compile(lines + text, str(page), "exec"), namespace)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("name", QUICK)
def test_the_python_of_a_page_runs(name, monkeypatch, tmp_path):
    run_blocks(pages.ROOT / name, monkeypatch, tmp_path, smaller=True)


@pytest.mark.slow
@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=pages.name_of)
def test_the_python_of_a_page_runs_as_it_stands(page, monkeypatch, tmp_path):
    run_blocks(page, monkeypatch, tmp_path, smaller=False)


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_the_commands_of_a_page_are_ones_that_there_are(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for block in pages.blocks_of(page):
        assert block.language in (*SHELL, "python", *UNRUN), f"{page}:{block.line}"
        if block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                check_line(line)
    for line in INLINE.findall(pages.text_of(page)):
        check_line(line)


def test_a_command_that_there_is_not_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in (
        "jaxmem train learner.nothing=3",
        "jaxmem compare -m workload=no,memoryless",
        "pip install uv && uv run --extra nothing jaxmem demo",
        "jaxmem compare policies=[frist]",
        "python experiments/nothing.py",
        "nothing",
    ):
        with pytest.raises((AssertionError, UsageError)):
            check_line(line)


def block_of(page, language):
    """The one block of a page in a language."""
    (block,) = [b for b in pages.blocks_of(pages.DOCS / page) if b.language == language]
    return block


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_program_in_c_calls_the_exported_policy(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "best", "out=best"]) == 0
    Path("main.c").write_text(block_of("your-program/export.md", "c").text, encoding="utf-8")
    source = f"best/{SOURCE}"
    built = ["cc", "-std=c99", "-Wall", "-Werror", "-Ibest", "main.c", source, "-lm", "-o", "main"]
    subprocess.run(built, check=True)
    said = subprocess.run(["./main"], check=True, capture_output=True, text=True).stdout
    assert said.endswith("unit 100\n")


def test_the_buffers_of_the_page_on_plans_are_planned(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    block = block_of("your-program/planning.md", "text")
    assert block.title == 'title="buffers.csv"'
    Path("buffers.csv").write_text(block.text, encoding="utf-8")
    assert main(["plan", "buffers.csv", "seconds=5", "out=plan"]) == 0
    assert json.loads(Path("plan/results.json").read_text(encoding="utf-8"))["proven"]


@functools.cache
def check_line(line):
    """Checks a line of shell: all that it runs, joined by && or |."""
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    words.whitespace_split, words.commenters = True, "#"
    command = []
    for word in [*words, "&&"]:
        if word in ("&&", "|", ";"):
            check_command(command)
            command = []
        else:
            command.append(word)


def check_command(words):
    """Checks one program with its words; an unknown one is a mistake of the page, or new here."""
    while words and (re.match(r"[A-Z_]+=", words[0]) or words[0] in ("srun", "env")):
        words = words[1:]
    if words[:2] == ["uv", "run"]:
        words = words[2:]
        while words[0].startswith("--"):
            assert words[0] in ("--extra", "--with"), words
            if words[0] == "--extra":
                check_extras(words[1])
            words = words[2:]
        return check_command(words)
    if not words or words[0] in PROGRAMS:
        return None
    program, *rest = words
    if program == "jaxmem":
        return check_jaxmem(rest)
    if program == "pip":
        assert rest[0] == "install"
        for extras in re.findall(r"^(?:\.|jaxmem)\[(.*)\]$", "\n".join(rest), re.M):
            check_extras(extras)
        return None
    if program in ("python", "pytest"):
        paths = [word for word in rest if word.startswith(("experiments/", "tests/"))]
        assert all((pages.ROOT / path).exists() for path in paths), words
        return None
    assert program == ".ci/run", f"what is {program}?"
    return None


def check_extras(names):
    assert set(names.split(",")) <= set(PROJECT["optional-dependencies"]), names


def check_jaxmem(words):
    """Composes and checks the settings of a command as the program does; it runs nothing."""
    if not words or "--help" in words:
        return
    words = [
        word.replace("NAME", NAMED[word.partition("=")[0]]) if "NAME" in word else word
        for word in words
    ]
    at = words.index("--") if "--" in words else len(words)
    if "-m" in words[:at]:
        verb, *overrides = [FEW[0].sub(FEW[1], word) for word in words if word != "-m"]
        assert multirun_of(verb, overrides).jobs
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main([*words[:at], "--cfg", "job", *words[at:]])
    assert status == 0, f"jaxmem {shlex.join(words)}: {said.getvalue()}"
    policies = yaml.safe_load(said.getvalue()).get("policies") or ()
    for policy in policies:
        known = (*NAMES, *SHIPPED, "learned")
        assert policy in known or "/" in policy or policy.endswith(".safetensors"), policy
