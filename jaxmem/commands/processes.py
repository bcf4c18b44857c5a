"""Several processes that train one run: how each joins, and what those do that write nothing."""

from collections.abc import Callable
from typing import Any

from jaxmem.commands.kept import TERMINATED
from jaxmem.configuration import UsageError
from jaxmem.learning import hosts
from jaxmem.learning.stopping import Terminated

SLURM = "slurm"
WRITTEN = "written"  # what the first has done when the others may go


def join_hosts(config: dict[str, Any]) -> None:
    """Makes this process one of those that `hosts` in conf/train.yaml tells of.

    Raises:
        UsageError: a setting out of range, or the others cannot be reached.
    """
    count, index, address = config["count"], config["index"], config["address"]
    if count is None or count == SLURM:
        if index is not None or address is not None:
            raise UsageError(
                f"hosts.count is {count or 'not set'}: hosts.index and hosts.address say nothing"
            )
        if count is None:
            return
        count = None
    else:
        _check_whole("count", count, 1, 2**16)
        _check_whole("index", index, 0, count - 1)
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UsageError(f"hosts.address is {address!r}; HOST:PORT of the first process")
    try:
        hosts.join(count, index, address)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"hosts: the processes cannot join: {reason}") from None


def follow(job: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Trains along with the first process, which writes; the exit status."""
    try:
        job(*arguments, **options)
    except Terminated:
        return TERMINATED
    hosts.together(WRITTEN)
    return 0


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"hosts.{name} is {value!r}; a whole number from {least} to {most:,}")
