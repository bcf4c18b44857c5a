"""Saved policies: the parameters of a network and what it is, in one file."""

from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxmem import renamed
from jaxmem.carded_file import POLICY_FILE, read_policy_file, write_policy_file
from jaxmem.carded_file import PolicyFileError as PolicyFileError
from jaxmem.environment.observations import FEATURES, GROUPS
from jaxmem.policies import Policy, policy
from jaxmem.policies.learned import BaseRule, greedy
from jaxmem.policies.networks import SCORERS, Weights
from jaxmem.policies.q_functions import QFunction, q_function
from jaxmem.read_back import brief, is_finite_number
from jaxmem.rules import NAMES, TUNED
from jaxmem.settings.learner import LAYERS, MOST

POLICY_FORMAT = "jaxmem-policy-1"
IN_BYTES = ("jaxmem-scorer-", "jaxmem-profiled-")  # formats of those that play no cells
MOST_MARGIN = 1e30  # in reward


@dataclass(frozen=True)
class Card:
    """The contents and the origin of a saved policy."""

    holes: int  # K, the holes that a scorer chooses from
    hidden_sizes: tuple[int, ...]  # hidden layers of the network
    network: str = "scorer"  # scorer or mlp
    cells: int | None = None  # N, of the only arenas that an mlp plays in; None: any
    hidden_feature_groups: tuple[str, ...] = ()  # groups of features that a scorer does not see
    base_policy: str | None = None  # the rule that it follows where nothing is worth more
    choice: tuple[int, ...] = ()  # the rule's parameters, where it has some
    margin: float = 0.0  # by how much a placement must be worth more, in reward
    estimates_lifetimes: bool = False  # from past requests, where there are no hints
    features: tuple[str, ...] = FEATURES  # the columns that a scorer reads, in this order
    format: str = POLICY_FORMAT
    training: dict[str, Any] = field(default_factory=dict)  # workload, learner, steps, seed

    @property
    def q(self) -> QFunction:
        """The Q-function whose parameters the file holds."""
        return q_function(
            self.network,
            self.holes,
            self.cells or 0,
            self.hidden_sizes,
            self.hidden_feature_groups,
            self.features,
        )


_SHIPPED_POLICIES = Path(__file__).parent / "shipped"
# Those that come with the package, to be loaded by name.
SHIPPED = tuple(sorted(file.stem for file in _SHIPPED_POLICIES.glob("*.safetensors")))
# Fields that policies saved by earlier versions do not have.
LATER = (
    *("network", "cells", "hidden_feature_groups", "base_policy", "choice", "margin"),
    "estimates_lifetimes",
)


def choice_of(rule: Policy | None) -> tuple[int, ...]:
    """Returns the parameters of a rule that was tuned, as a card has them; of others none."""
    if rule is None or rule.name not in TUNED:
        return ()
    return tuple(int(number) for number in np.ravel(rule.parameters))


def save_policy(path: Path | str, network: Weights, card: Card) -> None:
    """Writes a network's parameters and the card into one safetensors file, whole or not at all."""
    write_policy_file(path, flatten_dict(network, sep="/"), asdict(card))


def load_policy(path: Path | str, name: str | None = None) -> Policy:
    """Loads the policy in a file written by `save_policy`; nothing in the file is executed.

    Args:
        path: of the file or its run folder, or the name of a policy that comes with the package, as
            "generalist".
        name: of the policy; default: that of a policy of the package, else "learned".

    Raises:
        PolicyFileError: no such file, not a policy, or it reads features that there are not.
    """
    name = name or (str(path) if path in SHIPPED else "learned")
    return policy_of(*read_policy(path), name)


def policy_of(network: Weights, card: Card, name: str) -> Policy:
    """Makes the policy of what a policy file holds."""
    return greedy(card.q, network, name, base_policy_of(card), card.estimates_lifetimes)


def base_policy_of(card: Card) -> BaseRule | None:
    """Returns the rule that a policy follows where nothing is worth more, with its margin."""
    if card.base_policy is None:
        return None
    choice = np.array(card.choice[0] if len(card.choice) == 1 else card.choice, np.int32)
    return BaseRule(policy(card.base_policy, choice), np.float32(card.margin))


def read_policy(path: Path | str) -> tuple[Weights, Card]:
    """Reads the network's parameters and the card of a policy file; raises as `load_policy`."""
    if path in SHIPPED:
        path = _SHIPPED_POLICIES / f"{path}.safetensors"
    elif (Path(path) / POLICY_FILE).is_file():
        path = Path(path) / POLICY_FILE
    arrays, card = read_policy_file(path, path)
    if not isinstance(card, dict) or card.get("format") != POLICY_FORMAT:
        if isinstance(card, dict) and str(card.get("format")).startswith(IN_BYTES):
            raise PolicyFileError(
                f"{path}: a policy for recordings in bytes; it plays in jaxmem trace info FILE and "
                "jaxmem render workload=trace"
            )
        raise PolicyFileError(f"{path}: no policy of format {POLICY_FORMAT}")
    card = _checked_card(path, renamed.new_card(card))
    _check_arrays(path, arrays, card)
    return unflatten_dict(jax.device_put(arrays), sep="/"), card


def _checked_card(path: Path | str, found: dict[str, Any]) -> Card:
    """Returns the card, if it is one that this version can play by."""
    fields = {field.name: field.default for field in fields_of(Card)}
    found = {**{name: fields[name] for name in LATER}, **found}
    if set(found) != set(fields):
        differing = _named(sorted(set(found) ^ set(fields)))
        raise PolicyFileError(f"{path}: its card has other fields; differing: {differing}")
    features = found["features"]
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise PolicyFileError(f"{path}: its card has no list of features")
    unknown = sorted(set(features) - set(FEATURES))
    if unknown:
        raise PolicyFileError(f"{path}: reads features that this version lacks: {_named(unknown)}")
    if not features or len(set(features)) < len(features):
        raise PolicyFileError(f"{path}: its card lists no features, or one twice")
    holes, hidden_sizes = found["holes"], found["hidden_sizes"]
    layered = isinstance(hidden_sizes, list) and len(hidden_sizes) <= LAYERS
    numbers = [holes, *hidden_sizes] if layered else []
    if not numbers or not all(type(n) is int and 1 <= n <= MOST for n in numbers):
        raise PolicyFileError(
            f"{path}: its card says {brief(holes)} holes, sizes {brief(hidden_sizes)}"
        )
    network, cells = found["network"], found["cells"]
    networks = (*SCORERS, "mlp")
    if network not in networks:
        raise PolicyFileError(
            f"{path}: its card says network {brief(network)}; one of {', '.join(networks)}"
        )
    known = type(cells) is int and 1 <= cells <= MOST
    if not known if network == "mlp" else cells is not None:
        raise PolicyFileError(f"{path}: its card says network {network} for {brief(cells)} cells")
    hidden = found["hidden_feature_groups"]
    grouped = isinstance(hidden, list | tuple) and all(name in tuple(GROUPS) for name in hidden)
    if not grouped or len(set(hidden)) < len(hidden):
        raise PolicyFileError(f"{path}: its card hides the features {brief(hidden)}")
    if hidden and network == "mlp":
        raise PolicyFileError(f"{path}: its card hides {brief(hidden)} from network {network}")
    rule, choice, margin = found["base_policy"], found["choice"], found["margin"]
    ruled = rule is None or rule in tuple(NAMES)
    if not ruled or not _are_wholes(choice, TUNED.get(rule or "", 0)):
        raise PolicyFileError(
            f"{path}: its card says base policy {brief(rule)} with {brief(choice)}"
        )
    if not is_finite_number(margin, 0, MOST_MARGIN):
        raise PolicyFileError(f"{path}: its card says margin {brief(margin)}")
    if type(found["estimates_lifetimes"]) is not bool:
        raise PolicyFileError(
            f"{path}: its card says estimates_lifetimes {brief(found['estimates_lifetimes'])}"
        )
    if not isinstance(found["training"], dict):
        raise PolicyFileError(f"{path}: its card says training {brief(found['training'])}")
    lists = ("hidden_sizes", "hidden_feature_groups", "choice", "features")
    return Card(**{**found, **{name: tuple(found[name]) for name in lists}})


def _named(differing: list[str]) -> str:
    """Lists the first of the names in which two files differ; a stranger's may be long."""
    return ", ".join(name[:40] for name in differing[:5])


def _are_wholes(numbers: object, count: int) -> bool:
    return (
        isinstance(numbers, list | tuple)
        and len(numbers) == count
        and all(type(number) is int and abs(number) < 2**31 for number in numbers)
    )


def _check_arrays(path: Path | str, arrays: dict[str, np.ndarray], card: Card) -> None:
    """Refuses parameters that the network of the card does not have, or that are not numbers."""
    network = jax.eval_shape(card.q.init, jax.random.key(0))
    shapes = jax.tree.map(lambda leaf: leaf.shape, network)
    wanted = flatten_dict(cast(dict, shapes), sep="/")
    given = {key: array.shape for key, array in arrays.items() if array.dtype == jnp.float32}
    if given != wanted:
        differing = sorted(key for key in given | wanted if given.get(key) != wanted.get(key))
        shape = f"{card.network} with sizes {list(card.hidden_sizes)}"
        shape += f" for {card.cells} cells" if card.cells else ""
        raise PolicyFileError(
            f"{path}: not the network of its card, {shape}; differing: {_named(differing)}"
        )
    if not all(bool(np.isfinite(array).all()) for array in arrays.values()):
        raise PolicyFileError(f"{path}: it holds numbers that are not finite")
