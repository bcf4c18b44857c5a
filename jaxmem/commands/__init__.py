"""The verbs of the program: each takes a configuration and leaves a run folder."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from jaxmem.configuration import UsageError

if TYPE_CHECKING:
    from jaxmem.workloads.registry import Workload

Result = TypeVar("Result")


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
