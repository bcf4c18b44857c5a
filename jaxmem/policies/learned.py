"""Policies that a Q-network plays: choose, save, load."""

import functools
import json
import math
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxmem.environment.actions import ends_of
from jaxmem.environment.observations import FEATURES, pack
from jaxmem.environment.situation import Situation
from jaxmem.policies import NAMES, TUNED, Policy, policy
from jaxmem.policies.networks import Scorer
from jaxmem.policies.scoring import candidate_values

FORMAT = "jaxmem-policy-1"
MOST = 4096  # holes, or units of a layer: more is a mistake, or an attempt on the memory


class Guide(struct.PyTreeNode):
    """The rule that a learned policy follows where its network sees no better placement."""

    rule: Policy
    margin: Any  # float32[]  by how much a placement must be worth more, in reward


@dataclass(frozen=True)
class Card:
    """What a saved policy is and where it comes from."""

    holes: int  # K, the holes it chooses from
    widths: tuple[int, ...]  # hidden layers of the network
    guide: str | None = None  # name of the rule that it follows where nothing is worth more
    choice: tuple[int, ...] = ()  # the rule's parameters, where it has some
    margin: float = 0.0  # by how much a placement must be worth more, in reward
    features: tuple[str, ...] = FEATURES
    format: str = FORMAT
    training: dict[str, Any] = field(default_factory=dict)  # workload, learner, steps, seed


class PolicyFileError(ValueError):
    """A policy file that cannot be used: says which file and why."""


class Parameters(struct.PyTreeNode):
    """What a learned policy plays with."""

    network: Any  # as flax has it
    guide: Guide | None


def learned(
    network: Any,
    holes: int,
    widths: tuple[int, ...],
    name: str = "learned",
    guide: Guide | None = None,
) -> Policy:
    """The policy that takes the candidate with the largest Q-value, ties to the first.

    With a guide, it takes the guide's placement unless another is worth more by the margin, or the
    guide's is none of the candidates: then nothing is known of it.

    Args:
        network: parameters of a `Scorer` with these widths.
        holes: K, the holes it chooses from.
    """
    return Policy(
        parameters=Parameters(network=network, guide=guide),
        name=name,
        rule=_greedy(holes, tuple(widths)),
    )


@functools.cache
def _greedy(holes: int, widths: tuple[int, ...]):
    # Cached, so that two policies of one shape share one compiled program.
    network = Scorer(widths)

    def choose(parameters: Parameters, key: jax.Array, situation: Situation) -> jax.Array:
        found = situation.holes(holes)
        choices = ends_of(found)
        values = candidate_values(network, parameters.network, pack(situation, found))
        action = jnp.argmax(values)
        start = choices.start_of(situation, action)
        if parameters.guide is None:
            return start
        guided = parameters.guide.rule(key, situation)
        its = jnp.append(choices.starts == guided, False) & choices.legal
        worth_it = (
            values[action] > jnp.max(values, where=its, initial=-jnp.inf) + parameters.guide.margin
        )
        return jnp.where(worth_it & jnp.any(its), start, guided)

    return choose


def choice_of(rule: Policy | None) -> tuple[int, ...]:
    """The parameters of a rule that was tuned, as a card has them; of others none."""
    if rule is None or rule.name not in TUNED:
        return ()
    return tuple(int(number) for number in np.ravel(rule.parameters))


def save_policy(path: Path | str, network: Any, card: Card) -> None:
    """Writes a network's parameters and the card into one safetensors file, whole or not at all."""
    path = Path(path)
    # safetensors writes the memory as it lies, so the order of the axes must be the usual one.
    arrays = {
        key: np.ascontiguousarray(value) for key, value in flatten_dict(network, sep="/").items()
    }
    partial = path.with_suffix(".partial")
    save_file(arrays, partial, metadata={"card": json.dumps(asdict(card))})
    partial.replace(path)


def load_policy(path: Path | str, name: str = "learned") -> Policy:
    """The policy in a file written by `save_policy`; nothing in the file is executed.

    Raises:
        PolicyFileError: no such file, not a policy, or made for other features than these.
    """
    network, card = read_policy(path)
    guide = None
    if card.guide is not None:
        choice = np.array(card.choice[0] if len(card.choice) == 1 else card.choice, np.int32)
        guide = Guide(policy(card.guide, choice), np.float32(card.margin))
    return learned(network, card.holes, card.widths, name, guide)


def read_policy(path: Path | str) -> tuple[Any, Card]:
    """The network's parameters and the card of a policy file; raises as `load_policy`."""
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise PolicyFileError(f"{path}: no such policy file") from None
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise PolicyFileError(f"{path}: not a readable policy file ({error})") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise PolicyFileError(f"{path}: no policy of format {FORMAT}")
    card = _checked_card(path, card)
    _check_arrays(path, arrays, card)
    network = {key: jnp.asarray(array) for key, array in arrays.items()}
    return unflatten_dict(network, sep="/"), card


def _checked_card(path: Path | str, found: dict[str, Any]) -> Card:
    """The card, if it is one that this version can play by."""
    fields = {field.name: field.default for field in fields_of(Card)}
    found = {**{name: fields[name] for name in ("guide", "choice", "margin")}, **found}
    if set(found) != set(fields):
        differing = ", ".join(sorted(set(found) ^ set(fields)))
        raise PolicyFileError(f"{path}: its card has other fields; differing: {differing}")
    features = found["features"]
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise PolicyFileError(f"{path}: its card has no list of features")
    if tuple(features) != FEATURES:
        differing = sorted(set(features) ^ set(FEATURES)) or ["their order"]
        raise PolicyFileError(
            f"{path}: made for other features than this version's; differing: "
            f"{', '.join(differing[:5])}"
        )
    holes, widths = found["holes"], found["widths"]
    numbers = [holes, *widths] if isinstance(widths, list) else []
    if not numbers or not all(type(n) is int and 1 <= n <= MOST for n in numbers):
        raise PolicyFileError(f"{path}: its card says {holes!r} holes and widths {widths!r}")
    guide, choice, margin = found["guide"], found["choice"], found["margin"]
    wanted = TUNED.get(guide, 0)
    if guide is not None and (guide not in NAMES or not _are_wholes(choice, wanted)):
        raise PolicyFileError(f"{path}: its card says guide {guide!r} with {choice!r}")
    if type(margin) not in (int, float) or not 0 <= margin < math.inf:
        raise PolicyFileError(f"{path}: its card says margin {margin!r}")
    return Card(**{**found, "widths": tuple(widths), "choice": tuple(choice), "features": FEATURES})


def _are_wholes(numbers: Any, count: int) -> bool:
    return (
        isinstance(numbers, list)
        and len(numbers) == count
        and all(type(number) is int and abs(number) < 2**31 for number in numbers)
    )


def _check_arrays(path: Path | str, arrays: dict[str, np.ndarray], card: Card) -> None:
    """Refuses parameters that the network of the card does not have, or that are not numbers."""
    rows = jnp.zeros((1, len(FEATURES)))
    network = jax.eval_shape(Scorer(card.widths).init, jax.random.key(0), rows)
    shapes = jax.tree.map(lambda leaf: leaf.shape, network)
    wanted = flatten_dict(cast(dict, shapes), sep="/")
    given = {key: array.shape for key, array in arrays.items() if array.dtype == jnp.float32}
    if given != wanted:
        differing = sorted(key for key in given | wanted if given.get(key) != wanted.get(key))
        raise PolicyFileError(
            f"{path}: not the network of its card, widths {list(card.widths)}; differing: "
            f"{', '.join(differing[:5])}"
        )
    if not all(bool(np.isfinite(array).all()) for array in arrays.values()):
        raise PolicyFileError(f"{path}: it holds numbers that are not finite")
