"""The verbs of the program: each takes its settings and leaves a run folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rich.console import Console
from rich.text import Text

from jaxmem.configuration import UsageError
from jaxmem.settings.verbs import CompareSettings, RenderSettings, SearchSettings, TrainSettings
from jaxmem.settings.workload import TraceSettings

if TYPE_CHECKING:
    from jaxmem.learning.config import TrainConfig
    from jaxmem.workloads.registry import Workload

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def terminal(*, stderr: bool = False) -> Console:
    """Makes the console of a verb: texts of others are shown as they stand, [brackets] too."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr)


def tell_where(console: Console, path: Path, what: str) -> None:
    """The last line of a verb: what it has left, and where."""
    console.print(Text.assemble((str(path), "bold"), f": {what}"))


def checked(
    check: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """Returns what `check` does; its ValueError becomes the one line that the user reads."""
    try:
        return check(*arguments, **options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def workload_of(settings: RenderSettings | CompareSettings) -> "Workload":
    """Makes the workload that is asked for."""
    # It brings JAX, which a verb that only reads or launches should not wait for.
    from jaxmem.workloads import registry

    return checked(registry.workload_of, settings.workload, settings.cells)


def training_of(settings: TrainSettings | SearchSettings) -> "TrainConfig":
    """Makes the training run that is asked for."""
    from jaxmem.learning.config import TrainConfig
    from jaxmem.workloads import registry

    # A recording is trained on in windows, so that there is something left to test on.
    played = settings.workload
    if isinstance(played, TraceSettings):
        played = replace(played, episodes="windows")
    return checked(
        TrainConfig,
        task=checked(registry.workload_of, played, settings.cells),
        learner=settings.learner.name,
        settings=settings.learner,
        seed=settings.seed,
        holes=settings.environment.holes,
        reward=settings.environment.reward,
        evaluation=settings.evaluation,
        devices=settings.devices,
    )
