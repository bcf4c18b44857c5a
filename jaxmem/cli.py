"""The program: `jaxmem VERB [override ...]`."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from jaxmem.configuration import (
    GROUPS,
    UsageError,
    choices_of,
    configuration_folder,
    configure,
)

SUMMARY = {
    "train": "train a placement policy, then judge it on requests it has never seen",
    "sweep": "search for the settings with which training fails least",
    "compare": "judge placement policies on the same requests",
    "bench": "measure environment and training steps a second, beside other simulators",
    "summarize": "compare the runs below a folder: a row for each configuration, over its seeds",
    "render": "draw what policies do with one request sequence, as pictures or as a video",
    "demo": "serve a page that shows what policies do, for a browser on this machine",
}
EXAMPLES = {
    "train": (
        "jaxmem train",
        "jaxmem train workload=stack-with-leaks learner.states=3_000_000 seed=1 out=runs/stack",
        "jaxmem train workload=call-sites workload.hints=true",
        "jaxmem train workload=trace workload.name=torch_cpu_mlp_train learner.states=100000",
        "jaxmem train -m learner=pqn,dqn seed=0,1 out=runs/grid",
        "jaxmem train -m 'seed=range(0,8)' hydra/launcher=slurm_gpu hydra.launcher.partition=gpu",
    ),
    "sweep": (
        "jaxmem sweep",
        "jaxmem sweep learner=pqn trials=64 batch=16 seeds=3 out=runs/search",
        "jaxmem sweep learner=pqn 'space.learning_rate={low: 1e-4, high: 1e-2, log: true}' "
        "'space.gamma={low: 0.9, high: 0.999}' 'space.arenas=[64,128,256]'",
        "jaxmem sweep resume=runs/search",
    ),
    "compare": (
        "jaxmem compare workload=memoryless policies=[first,best,worst] sequences=4096",
        "jaxmem compare policies=[best,two_ended,runs/stack] workload=stack-with-leaks",
        "jaxmem compare workload=scenario 'workload.layout=[[5,10],[25,5]]' "
        "'workload.sizes=[8,12,\"free:1\",5]'",
        "jaxmem compare workload=trace workload.path=recording.csv.gz cells=2048",
        "jaxmem compare workload=call-sites hindsight=true",
        "jaxmem compare -m workload=comb,memoryless cells=100,200 hydra/launcher=joblib",
    ),
    "render": (
        "jaxmem render --gif",
        "jaxmem render workload=stack-with-leaks policies=[best,two_ended,generalist] --mp4",
        "jaxmem render workload=scenario 'workload.sizes=[8,12,\"free:1\",5]' out=pictures",
    ),
    "demo": (
        "jaxmem demo",
        "jaxmem demo port=8600",
        "jaxmem demo address=0.0.0.0",
    ),
    "bench": (
        "jaxmem bench quick=true",
        "jaxmem bench out=experiments/results/throughput",
        "jaxmem bench cells=[64,1024] arenas=[4096] policy=first observation=[packed] "
        "training=false",
    ),
    "summarize": ("jaxmem summarize runs/grid", "jaxmem summarize runs out=tables"),
}
FLAGS = {"--gif": "gif=true", "--mp4": "mp4=true"}
USAGE = {
    "train": "jaxmem train [-m] [key=value ...]",
    "sweep": "jaxmem sweep [key=value ...]",
    "compare": "jaxmem compare [-m] [key=value ...]",
    "bench": "jaxmem bench [key=value ...]",
    "render": "jaxmem render [--gif] [--mp4] [key=value ...]",
    "demo": "jaxmem demo [key=value ...]",
    "summarize": "jaxmem summarize DIR [key=value ...]",
}
MANY = ("-m", "--multirun")  # as Hydra has it: a run for every combination of the values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 2 for bad input, 130 after an interruption."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except UsageError as error:
        print(f"jaxmem: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxmem: interrupted", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"jaxmem {version('jaxmem')}")
        return 0
    verb, overrides = words[0], [FLAGS.get(word, word) for word in words[1:]]
    if verb not in SUMMARY:
        raise UsageError(f"unknown command {verb!r}; one of {', '.join(SUMMARY)}")
    if any(word in ("--help", "-h") for word in overrides):
        print(_verb_help(verb))
        return 0
    command = shlex.join(["jaxmem", *words])
    _keep_compiled_programs()
    if any(word in MANY for word in overrides):
        single = [word for word in overrides if word not in MANY]
        return import_module("jaxmem.commands.multirun").run(verb, single, command)
    # JAX takes a second to import: nothing that fails before should wait for it.
    run: Callable[..., int] = import_module(f"jaxmem.commands.{verb}").run
    if verb != "summarize":
        return run(configure(verb, overrides), command)
    if not overrides:
        raise UsageError(f"summarize: which folder? usage: {USAGE[verb]}")
    return run({**configure(verb, overrides[1:]), "folder": overrides[0]}, command)


def _keep_compiled_programs() -> None:
    """Lets JAX keep what it compiles in the user's cache folder, for the next command."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "jaxmem" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # no cache: every command compiles anew
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _help() -> str:
    verbs = "\n".join(f"  {verb:9} {summary}" for verb, summary in SUMMARY.items())
    return (
        "jaxmem: learn where in memory a block should go\n\n"
        f"usage: jaxmem VERB [key=value ...]\n\n{verbs}\n\n"
        "jaxmem VERB --help shows what can be set, and examples."
    )


def _verb_help(verb: str) -> str:
    folder = configuration_folder()
    settings = (folder / f"{verb}.yaml").read_text(encoding="utf-8").strip()
    parts = [
        f"jaxmem {verb}: {SUMMARY[verb]}",
        f"usage: {USAGE[verb]}",
        "\n".join(["examples:", *(f"  {example}" for example in EXAMPLES[verb])]),
    ]
    groups = [group for group in GROUPS if f"- {group}:" in settings]
    if groups:
        parts.append("choices, each with settings of its own, set as GROUP.key=value:")
    for group in groups:
        choices = choices_of(folder, group)
        abouts = (f"    {choice:22} {_about(folder / group, choice)}" for choice in choices)
        parts.append("\n".join([f"  {group}:", *abouts]))
    return "\n\n".join([*parts, f"settings and their defaults:\n\n{settings}"])


def _about(group: Path, choice: str) -> str:
    """The comment that the file of a choice begins with, after Hydra's own."""
    lines = (group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if not line.startswith("# @")).removeprefix("# ")
