"""The verbs of the program: each takes a configuration and leaves a run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.text import Text

from jaxmem.configuration import UsageError

if TYPE_CHECKING:
    from jaxmem.learning.config import TrainConfig
    from jaxmem.workloads.registry import Workload

Result = TypeVar("Result")


def terminal(*, stderr: bool = False) -> Console:
    """Where a verb prints: names and texts of others are shown as they stand, [brackets] too."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr)


def tell_where(console: Console, path: Path, what: str) -> None:
    """The last line of a verb: what it has left, and where."""
    console.print(Text.assemble((str(path), "bold"), f": {what}"))


def checked(check: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """What `check` returns; its ValueError becomes the one line that the user reads."""
    try:
        return check(*arguments, **options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def workload_of(config: dict[str, Any], **overrides: Any) -> "Workload":
    """The workload that a configuration asks for."""
    # It brings JAX, which a verb that only reads or launches should not wait for.
    from jaxmem.workloads.registry import workload

    options = {**config["workload"], **overrides}
    return checked(workload, options.pop("source"), config["cells"], **options)


def training_of(config: dict[str, Any]) -> "TrainConfig":
    """Returns the training run that a configuration asks for."""
    from jaxmem.learning.config import evaluation_config, train_config

    # A recording is trained on in windows, so that there is something left to test on.
    windows = {"episodes": "windows"} if config["workload"]["source"] == "trace" else {}
    settings, network = dict(config["learner"]), dict(config["network"])
    return checked(
        train_config,
        workload_of(config, **windows),
        settings.pop("name"),
        seed=config["seed"],
        evaluation=checked(evaluation_config, config["evaluation"]),
        devices=config["devices"],
        network=network.pop("name"),
        **network,
        **config["environment"],
        **settings,
    )


def check_switch(config: dict[str, Any], name: str) -> bool:
    """A setting that is true or false."""
    if not isinstance(config[name], bool):
        raise UsageError(f"{name} is {config[name]!r}; it must be true or false")
    return config[name]


def check_list(config: dict[str, Any], name: str) -> list[Any]:
    """A setting that is a list."""
    if not isinstance(config[name], list):
        raise UsageError(f"{name} is {config[name]!r}; it must be a list, as {name}=[a,b]")
    return config[name]
