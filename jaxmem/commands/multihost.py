"""Several processes that train one run: how each joins, and what those do that write nothing."""

from collections.abc import Callable
from typing import ParamSpec

from jaxmem.commands.training_run import TERMINATED
from jaxmem.configuration import UsageError
from jaxmem.learning import hosts
from jaxmem.learning.stopping import Terminated
from jaxmem.settings.verbs import SLURM, HostsSettings

Arguments = ParamSpec("Arguments")
WRITTEN = "written"  # what the first has done when the others may go


def join_hosts(settings: HostsSettings) -> None:
    """Makes this process one of those that the settings tell of.

    Raises:
        UsageError: the others cannot be reached.
    """
    if settings.count is None:
        return
    count = None if settings.count == SLURM else settings.count
    try:
        hosts.join(count, settings.index, settings.address)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"hosts: the processes cannot join: {reason}") from None


def train_along(
    job: Callable[Arguments, object], *arguments: Arguments.args, **options: Arguments.kwargs
) -> int:
    """Trains along with the first process, which writes; the exit status."""
    try:
        job(*arguments, **options)
    except Terminated:
        return TERMINATED
    hosts.barrier(WRITTEN)
    return 0
