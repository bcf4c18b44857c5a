"""Q-functions: a network with what it reads of a situation and the actions that it values.

Learners and players know networks only by what is here, so that each works with all of them. Legal
actions come with what is read: a value is asked of no others.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxmem import foreign
from jaxmem.environment.actions import Choices, addresses, ends_of
from jaxmem.environment.environment import State
from jaxmem.environment.observations import FEATURES, Packed, bitmap, pack, rows
from jaxmem.environment.situation import Situation
from jaxmem.policies.networks import MLP, SCORERS, Scorer, Weights, q_values
from jaxmem.policies.scoring import score_candidates

Seen = TypeVar("Seen")
Taken = TypeVar("Taken")


class QFunction(Protocol[Seen, Taken]):
    """The Q-function that learners and players ask; each is hashable, so programs are shared.

    `seen` is what the network reads of a situation, and `taken` what it reads of one action there;
    both are pytrees.
    """

    actions: ClassVar[str]  # the action space of `Environment` that it values
    observation: ClassVar[str]  # and the observation from which `seen` is made

    @property
    def arena(self) -> int | None:
        """Cells of the only arenas that it can play in; None: any."""
        ...

    def init(self, key: jax.Array) -> Weights:
        """Draws the parameters of the network before it learns anything."""
        ...

    def see(self, situation: Situation) -> tuple[Seen, Choices]:
        """Returns what is read of a situation, and the actions in it."""
        ...

    def seen(self, observation: Any, state: State) -> Seen:
        """Reads the same from what the environment has made already; of one arena or of E."""
        ...

    def values(self, parameters: Weights, seen: Seen) -> jax.Array:
        """Values every action of one situation, -inf for those not legal: float32[A]."""
        ...

    def take(self, seen: Seen, action: jax.Array) -> Taken:
        """Returns what is read of the actions taken (int32[E]) in E situations."""
        ...

    def value(self, parameters: Weights, taken: Taken) -> jax.Array:
        """Values the actions taken: float32[...], batched as `taken` is."""
        ...

    def random(self, drawn: jax.Array, seen: Seen) -> jax.Array:
        """Draws a legal action of each of E situations from a random number (uint32[E]): int32[E].

        Each with the same probability, up to one part in 2^16 / A.
        """
        ...


@dataclass(frozen=True)
class CandidateQ:
    """The scorer: the first holes that fit, each at its ends, valued by their own features.

    `seen` is a `Packed`, `taken` a row float32[F].
    """

    holes: int  # K
    hidden_sizes: tuple[int, ...]
    hidden_feature_groups: tuple[str, ...] = ()  # groups of features that the network does not see
    columns: tuple[str, ...] = FEATURES  # the features that it reads, in this order
    scorer: str = "scorer"  # the network, of `SCORERS`
    actions: ClassVar[str] = "holes"
    observation: ClassVar[str] = "packed"

    @property
    def arena(self) -> None:
        return None

    @property
    def network(self) -> Scorer:
        """Shared by all candidates."""
        kind = SCORERS[self.scorer]
        return kind(self.hidden_sizes, self.hidden_feature_groups, self.columns)

    def init(self, key: jax.Array) -> Weights:
        what, rows_of_one = f"network {self.scorer}", jnp.zeros((1, len(self.columns)))
        values, parameters = foreign.call(what, self.network.init_with_output, key, rows_of_one)
        wanted = "a value for each row, float32[..., A] of float32[..., A, F]"
        foreign.array_of(f"{what}, of a row,", values, wanted, shape=(1,))
        return parameters

    def see(self, situation: Situation) -> tuple[Packed, Choices]:
        found = situation.holes(self.holes)
        return pack(situation, found), ends_of(found)

    def seen(self, observation: Packed, state: State) -> Packed:
        del state
        return observation

    def values(self, parameters: Weights, seen: Packed) -> jax.Array:
        return score_candidates(self.network, parameters, seen)

    def take(self, seen: Packed, action: jax.Array) -> jax.Array:
        return rows(seen, jnp.arange(len(action)), action, self.columns)

    def value(self, parameters: Weights, taken: jax.Array) -> jax.Array:
        return q_values(self.network, parameters, taken)

    def random(self, drawn: jax.Array, seen: Packed) -> jax.Array:
        return random_candidate(drawn, seen)


@struct.dataclass
class Cells:
    """The bitmap of a situation, and where the request may start."""

    bitmap: jax.Array  # float32[N + 1]
    legal: jax.Array  # bool[N + 1]  the last: refuse


@struct.dataclass
class CellTaken:
    """One start address of a situation."""

    bitmap: jax.Array  # float32[N + 1]
    action: jax.Array  # int32[]  0 .. N


@dataclass(frozen=True)
class AddressQ:
    """The MLP: every cell as a start address, valued by the bitmap, as in the student project.

    `seen` is a `Cells`, `taken` a `CellTaken`.
    """

    cells: int  # N
    hidden_sizes: tuple[int, ...]
    actions: ClassVar[str] = "address"
    observation: ClassVar[str] = "bitmap"

    @property
    def arena(self) -> int:
        return self.cells

    @property
    def network(self) -> MLP:
        """From the bitmap to all addresses."""
        return MLP(self.hidden_sizes, self.cells + 1)

    def init(self, key: jax.Array) -> Weights:
        return self.network.init(key, jnp.zeros((1, self.cells + 1)))

    def see(self, situation: Situation) -> tuple[Cells, Choices]:
        choices = addresses(situation, holes=0, cells=self.cells)
        no_history = jnp.zeros((0,), jnp.int32)
        return Cells(bitmap(situation, self.cells, no_history), choices.legal), choices

    def seen(self, observation: jax.Array, state: State) -> Cells:
        return Cells(observation, state.mask)

    def values(self, parameters: Weights, seen: Cells) -> jax.Array:
        return jnp.where(seen.legal, q_values(self.network, parameters, seen.bitmap), -jnp.inf)

    def take(self, seen: Cells, action: jax.Array) -> CellTaken:
        return CellTaken(seen.bitmap, action)

    def value(self, parameters: Weights, taken: CellTaken) -> jax.Array:
        values = q_values(self.network, parameters, taken.bitmap)
        return jnp.take_along_axis(values, taken.action[..., None], axis=-1)[..., 0]

    def random(self, drawn: jax.Array, seen: Cells) -> jax.Array:
        up_to = jnp.cumsum(seen.legal, axis=-1)
        number = ((drawn >> 16) * up_to[:, -1].astype(jnp.uint32)) >> 16
        return jnp.argmax(up_to > number[:, None].astype(jnp.int32), axis=-1)


@functools.cache
def q_function(
    network: str,
    holes: int,
    cells: int,
    hidden_sizes: tuple[int, ...],
    hidden_feature_groups: tuple[str, ...],
    columns: tuple[str, ...] = FEATURES,
) -> QFunction:
    """Makes the Q-function of a network: one of `SCORERS` for K holes, `mlp` for N cells.

    Args:
        hidden_feature_groups: groups of features that a scorer does not see; an mlp reads none.
        columns: the features that a scorer reads.
    """
    if network == "mlp":
        return AddressQ(cells, hidden_sizes)
    return CandidateQ(holes, hidden_sizes, hidden_feature_groups, columns, network)


def random_candidate(drawn: jax.Array, packed: Packed) -> jax.Array:
    """Draws a legal action of E arenas from a random number (uint32[E]): int32[E]."""
    holes = packed.holes.shape[1]
    number = ((drawn >> 16) * (2 * packed.count).astype(jnp.uint32)) >> 16
    return jnp.where(packed.count == 0, 2 * holes, number.astype(jnp.int32))
