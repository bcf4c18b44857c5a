"""What others add from outside the package, each by a call or by an entry point of the same name.

    jaxmem.register_rule("apart", apart)

does in a program what

    [project.entry-points."jaxmem.register_rule"]
    apart = "my_rules:apart"

does in the `pyproject.toml` of a package, for every command too.
"""

import functools
import re
import threading
import warnings
from collections.abc import Callable, Collection
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from jaxmem.render.palette import policy_colour
from jaxmem.rules import RULES, Rule

if TYPE_CHECKING:
    from jaxmem.environment.environment import Observe
    from jaxmem.environment.rewards import Reward
    from jaxmem.learning.learner import Learner
    from jaxmem.policies import Chooses
    from jaxmem.policies.networks import Scorer
    from jaxmem.recordings.formats import Format
    from jaxmem.workloads.registry import Workload

GOOD_NAME = re.compile(r"[a-z][a-z0-9_-]*")
READ_OTHERWISE = ("true", "false", "null", "nan", "inf")  # on a command line, no names
GIVEN: dict[tuple[str, str], object] = {}  # what was registered, by kind and name
LOADING = threading.Lock()  # held while modules of others are imported
# Of what is a choice in configurations, what is composed for it: by group and name.
NODES: dict[tuple[str, str], dict[str, Any]] = {}


def register_workload(name: str, workload: "Workload") -> None:
    """Makes a workload known by a name; `cells` of a command or of `make` change its arena.

    Raises:
        ValueError: the name is taken or is none, or this is no workload, or one of which no
            request counts.
    """
    from jaxmem.settings.workload import ALIASES, WORKLOADS, WorkloadSettings
    from jaxmem.workloads.registry import REGISTERED, Workload

    taken, known = (*WORKLOADS, *ALIASES), isinstance(workload, Workload)
    _check_new("workload", name, workload, taken, known, "a Workload")
    if not 0 <= workload.warmup < workload.length:
        raise ValueError(
            f"workload {name!r}: warmup is {workload.warmup}; 0 to {workload.length - 1}, so that "
            f"some of its {workload.length} requests (length) count"
        )
    REGISTERED[name] = replace(workload, name=name)
    WORKLOADS[name] = WorkloadSettings(name)
    NODES["workload", name] = WORKLOADS[name].plain()


def register_rule(
    name: str,
    rule: "Chooses",
    *,
    title: str | None = None,
    colour: str | None = None,
    words: str = "",
    sources: str = "",
    needs_hints: bool = False,
    needs_ages: bool = False,
    rival: bool = True,
) -> None:
    """Makes a placement rule known by a name.

    Args:
        rule: from parameters (None), key and situation to the start, int32[], or NOWHERE.
        title: what people read (default: the name).
        colour: `#rrggbb`, in every picture (default: one that goes with the others).
        words: three sentences for the page's About; "": it is not told there.
        sources: where it is from.
        needs_hints: it applies where lifetimes are predicted.
        needs_ages: it asks when a neighbour was placed, or will die.
        rival: learned policies are judged beside it, and may start from it.

    Raises:
        ValueError: the name is taken or is none, or this is no function.
    """
    from jaxmem.policies.policy_file import SHIPPED

    taken = (*RULES, *SHIPPED, "learned", "strongest")
    what = "a function of parameters, key and situation"
    _check_new("rule", name, rule, taken, callable(rule), what)
    colour = policy_colour(name) if colour is None else colour
    if not re.fullmatch("#[0-9a-f]{6}", colour):
        raise ValueError(f"colour of rule {name} is {colour!r}; #rrggbb, as #8c564b")
    RULES[name] = Rule(
        name=name,
        title=title or name,
        colour=colour,
        words=words,
        sources=sources,
        needs_hints=needs_hints,
        needs_ages=needs_ages,
        rival=rival,
        play=rule,
    )


def register_reward(name: str, reward: "Reward") -> None:
    """Makes a reward known by a name: from an `Outcome` to float32[].

    Raises:
        ValueError: the name is taken or is none, or this is no function.
    """
    from jaxmem.environment.rewards import REWARDS

    _check_new("reward", name, reward, REWARDS, callable(reward), "a function of an Outcome")
    REWARDS[name] = reward


def register_observation(name: str, observe: "Observe") -> None:
    """Makes an observation known by a name: from situation and holes to one array.

    Raises:
        ValueError: the name is taken or is none, or this is no function.
    """
    from jaxmem.environment.environment import OBSERVATIONS, OBSERVES

    taken = (*OBSERVATIONS, *OBSERVES)
    what = "a function of a Situation and Holes"
    _check_new("observation", name, observe, taken, callable(observe), what)
    OBSERVES[name] = observe


def register_network(name: str, network: "type[Scorer]") -> None:
    """Makes a network known by a name: a flax module with the fields of `Scorer`.

    Raises:
        ValueError: the name is taken or is none, or this is no such class.
    """
    from jaxmem.policies.networks import SCORERS, Scorer
    from jaxmem.settings.learner import SCORING

    known = isinstance(network, type) and issubclass(network, Scorer)
    _check_new("network", name, network, (*SCORERS, "mlp"), known, "a subclass of Scorer")
    SCORERS[name] = network
    SCORING.append(name)
    NODES["network", name] = {"name": name, "hidden_sizes": [64, 64], "hidden_feature_groups": []}


def register_learner(name: str, learner: "type[Learner]") -> None:
    """Makes a learner known by a name: a class of the protocol `Learner`.

    Its `Config` has its settings: a frozen dataclass, of `LearnerSettings` or one of its kinds.

    Raises:
        ValueError: the name is taken or is none, or this is no such class.
    """
    from jaxmem.learning.learners import LEARNERS
    from jaxmem.settings import learner as settings

    config: Any = getattr(learner, "Config", None)
    known = settings.LearnerSettings in getattr(config, "__mro__", ())
    _check_new("learner", name, learner, LEARNERS, known, "a class with its settings as Config")
    LEARNERS[name], settings.LEARNERS[name] = learner, config
    own = config().plain().items()
    NODES["learner", name] = {key: of for key, of in own if key not in config.NETWORK}


def register_format(name: str, format: "Format") -> None:
    """Makes a format of trace files known by a name; it is tried after those of the package.

    Raises:
        ValueError: the name is taken or is none, or this is no format.
    """
    from jaxmem.recordings.formats import FORMATS, Format

    _check_new("format", name, format, FORMATS, isinstance(format, Format), "a Format")
    FORMATS[name] = format._replace(name=name)


REGISTER: dict[str, Callable[[str, Any], None]] = {
    of.__name__: of
    for of in (
        *(register_workload, register_rule, register_reward, register_observation),
        *(register_network, register_learner, register_format),
    )
}


class LeftOut(UserWarning):
    """Something that a package offers cannot be registered."""


@functools.cache
def load() -> None:
    """Registers what installed packages offer by entry points; one that cannot be is a warning."""
    if not LOADING.acquire(blocking=False):
        return  # a module that is imported below uses the package while it is
    try:
        found = entry_points()
        for kind in REGISTER:
            for point in found.select(group=f"jaxmem.{kind}"):
                _register(kind, point)
    finally:
        LOADING.release()


def _register(kind: str, point: EntryPoint) -> None:
    """Registers what an entry point names, unless its module has done so itself."""
    try:
        thing = point.load()
        if GIVEN.get((kind, point.name)) is not thing:
            REGISTER[kind](point.name, thing)
    except Exception as error:  # whatever a stranger's module raises
        where = f"entry point {point.name} = {point.value} of jaxmem.{kind}"
        said = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(f"{where} is left out: {said}", LeftOut, stacklevel=3)


def choices(group: str) -> list[str]:
    """Lists what was registered among the choices of a group of configurations."""
    return [name for kind, name in NODES if kind == group]


def _check_new(
    kind: str, name: object, thing: object, taken: Collection[str], good: bool, what: str
) -> None:
    if not isinstance(name, str) or not GOOD_NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {name!r}: small letters, digits, - and _, with a letter first"
        )
    if name in READ_OTHERWISE:
        raise ValueError(f"{kind} name {name!r} is no name on a command line: choose another")
    if name in taken:
        raise ValueError(f"{kind} {name!r} is there already: choose another name")
    if not good:
        raise ValueError(f"{kind} {name!r} must be {what}")
    GIVEN[f"register_{kind}", name] = thing
