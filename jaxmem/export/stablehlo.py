"""A policy as a StableHLO program for any number of situations at once, with a card that names its
inputs and outputs.

The program is what `jax.export` serializes; `jax.export.deserialize` reads it back.
"""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from jaxmem.arena.arena import NOWHERE
from jaxmem.environment.observations import BINS, OVERVIEW, Packed
from jaxmem.export.exported import CellPolicy, Exported, SizeRule, without_plan
from jaxmem.extras import extra
from jaxmem.policies.q_functions import AddressQ, CandidateQ, Cells
from jaxmem.policies.scoring import score_every_row
from jaxmem.recordings.hole_scorer import HoleScorer, Known, Live
from jaxmem.recordings.hole_table import new_hole_table
from jaxmem.recordings.profile import CONTEXTS, UNFORETOLD, UNKNOWN_CONTEXT
from jaxmem.recordings.profiled_policy import ProfiledPolicy

PROGRAM, CARD = "policy.stablehlo", "card.json"
PLATFORMS = ("cpu", "cuda", "tpu")

Columns = Mapping[str, jax.Array]


class Input(NamedTuple):
    """One input of a program."""

    shape: tuple[int, ...]  # of one situation; in the program the batch comes first
    dtype: Any
    meaning: str


class ExportedProgram(NamedTuple):
    """A program, and what it takes and gives."""

    serialized: bytes
    inputs: Mapping[str, Input]  # in their order
    output: Input


_START = Input((), jnp.int32, "address of the block's first unit, -1: no hole is long enough")
_REQUEST = {
    "size": Input((), jnp.int32, "units asked for, at least 1"),
}
_ARENA = {"cells": Input((), jnp.int32, "units of the arena")}
_CURSOR = {"cursor": Input((), jnp.int32, "where the block placed last ends")}
_FORETOLD = {
    "foretold": Input(
        (), jnp.int32, "requests that the block will live for, by the profile; 0: none"
    )
}
_CONTEXTS = {
    "contexts": Input(
        (len(CONTEXTS),), jnp.int32, "places of its contexts in the keys of the profile; -1: none"
    )
}
_HISTORY = {
    "live_units": Input((), jnp.int32, "units of live blocks"),
    "live_blocks": Input((), jnp.int32, "their number"),
    "died": Input((), jnp.float32, "blocks of its call site and bytes that have died"),
    "lived": Input((), jnp.float32, "sum of the natural logarithms of their lifetimes in requests"),
    "begins": Input((), jnp.bool_, "nothing at all has been freed yet"),
    "usual": Input(
        (), jnp.float32, "mean natural logarithm of all sizes in units, its own among them"
    ),
}


def program_of(exported: Exported, holes: int) -> ExportedProgram:
    """Makes the program of a policy.

    Args:
        holes: H, of an arena in bytes.

    Raises:
        MissingExtraError: the package is not there by which programs are serialized.
        PolicyFileError: the policy has a plan.
    """
    without_plan(exported, "to=stablehlo")
    extra("flatbuffers", "export", "to=stablehlo")
    if isinstance(exported.policy, CellPolicy):
        return _cell_program(exported.policy)
    return _byte_program(exported.policy, holes)


def card_text(exported: Exported, program: ExportedProgram) -> str:
    """Returns what the program takes and gives, as JSON."""
    policy = exported.policy
    card = {
        "policy": exported.name,
        "plays_in": "cells" if isinstance(policy, CellPolicy) else "bytes",
        "written_by": f"jaxmem {version('jaxmem')}, jax {jax.__version__}",
        "read_by": "jax.export.deserialize(bytearray(file)).call(*inputs)",
        "platforms": list(PLATFORMS),
        "batch": "the first axis of every input and of the output, of any length",
        "inputs": [_described(name, each) for name, each in program.inputs.items()],
        "output": _described("scores" if program.output.shape else "start", program.output),
    }
    if isinstance(policy, CellPolicy) and policy.card.base_policy is not None:
        card["follows"] = {
            "base_policy": policy.card.base_policy,
            "choice": list(policy.card.choice),
            "margin": policy.card.margin,
            "meaning": "its placement is taken unless another scores more by over the margin",
        }
    return json.dumps(card, indent=1) + "\n"


def _described(name: str, of: Input) -> dict[str, object]:
    shape = ["batch", *of.shape]
    return {"name": name, "shape": shape, "dtype": jnp.dtype(of.dtype).name, "meaning": of.meaning}


def _byte_program(policy: SizeRule | ProfiledPolicy | HoleScorer, holes: int) -> ExportedProgram:
    places = Input((holes,), jnp.int32, "where each hole begins; in a spare entry equal to high")
    ends = Input((holes,), jnp.int32, "where it ends")
    inputs = {"low": places, "high": ends, **_REQUEST}
    if isinstance(policy, SizeRule):
        inputs |= _CURSOR if any(place.hole == "next" for place in policy.places) else {}
    elif isinstance(policy, ProfiledPolicy):
        inputs |= _ARENA | _FORETOLD | (_CONTEXTS if policy.rule.exceptions else {})
    else:
        inputs |= _ARENA | _HISTORY

    def start(given: Columns) -> jax.Array:
        nothing = jnp.zeros((), jnp.int32)
        cells = given.get("cells", jnp.ones((), jnp.int32))
        table = new_hole_table(cells, holes).replace(
            low=given["low"], high=given["high"], cursor=given.get("cursor", nothing)
        )
        if isinstance(policy, SizeRule):
            return table.place(given["size"], policy.player)[1]
        unknown = jnp.zeros((), jnp.float32)
        known = Known(
            size=given["size"],
            died=given.get("died", unknown),
            lived=given.get("lived", unknown),
            begins=given.get("begins", nothing > 0),
            usual=given.get("usual", unknown),
            given=nothing > 0,
            foretold=given.get("foretold", nothing + UNFORETOLD),
            contexts=given.get("contexts", jnp.full(len(CONTEXTS), UNKNOWN_CONTEXT, jnp.int32)),
            planned=nothing + NOWHERE,
        )
        live = Live(given.get("live_units", nothing), given.get("live_blocks", nothing))
        player = policy.player if isinstance(policy, ProfiledPolicy) else policy
        return player.place(table, cells, known, live)[1]

    return _exported(start, inputs, _START)


def _cell_program(policy: CellPolicy) -> ExportedProgram:
    q = policy.card.q
    if isinstance(q, AddressQ):
        actions = q.cells + 1
        inputs = {
            "bitmap": Input((actions,), jnp.float32, "cells that are taken, then size over cells"),
            "legal": Input((actions,), jnp.bool_, "addresses that are legal, then to refuse"),
        }

        def values(given: Columns) -> jax.Array:
            return q.values(policy.network, Cells(given["bitmap"], given["legal"]))

    else:
        assert isinstance(q, CandidateQ)
        actions, whole = 2 * q.holes + 1, jnp.int32
        hole = "low, length; size, age, remaining of the block below, above"
        inputs = {
            "holes": Input((q.holes, 8), whole, f"the first that fit, by address: {hole}"),
            "size": Input((), whole, "cells asked for"),
            "cells": Input((), whole, "of the arena"),
            "hint": Input((), jnp.float32, "predicted lifetime in requests, 0: none"),
            "count": Input(
                (), whole, "entries of holes that are holes: two actions are legal each"
            ),
            "shortest": Input((), whole, "length of the shortest of them"),
            "longest": Input((), whole, "and of the longest"),
            "histogram": Input((BINS,), whole, "holes of the arena by length, in powers of two"),
            "overview": Input(
                (len(OVERVIEW),), jnp.float32, f"of the arena: {', '.join(OVERVIEW)}"
            ),
        }

        def values(given: Columns) -> jax.Array:
            return score_every_row(q.network, policy.network, Packed(**given))

    meaning = "of every action, low and high end of each hole in turn, then to refuse"
    meaning = "of every address, then to refuse" if isinstance(q, AddressQ) else meaning
    output = Input((actions,), jnp.float32, f"value {meaning}; -inf: not legal")
    return _exported(values, inputs, output)


def _exported(
    choose: Callable[[Columns], jax.Array], inputs: Mapping[str, Input], output: Input
) -> ExportedProgram:
    """Exports what is done in one situation for any number of them."""
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *each.shape), each.dtype) for each in inputs.values()]

    def program(*columns: jax.Array) -> jax.Array:
        return jax.vmap(choose)(dict(zip(inputs, columns, strict=True)))

    done = export.export(jax.jit(program), platforms=PLATFORMS)(*shapes)
    return ExportedProgram(bytes(done.serialize()), inputs, output)
