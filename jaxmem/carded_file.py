"""Files of arrays with a card that says what they are; nothing in them is executed."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxmem.whole_files import write_whole

POLICY_FILE = "policy.safetensors"  # in a run folder
# What safetensors and JSON raise over a file that is none, or no longer one.
DAMAGE = (SafetensorError, OSError, ValueError, TypeError, AttributeError, RecursionError, KeyError)


class PolicyFileError(ValueError):
    """A policy file that cannot be used: says which file and why."""


def write_policy_file(path: Path | str, arrays: Mapping[str, object], card: object) -> None:
    """Writes arrays and their card, whole or not at all."""
    # safetensors writes the memory as it lies, so the order of the axes must be the usual one.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, save(arrays, metadata={"card": json.dumps(card)}))


def read_policy_file(path: Path | str, called: Path | str) -> tuple[dict[str, np.ndarray], object]:
    """Reads the arrays and the card, which may be anything that JSON can say.

    Args:
        called: what errors call the file.

    Raises:
        PolicyFileError: no such file, or not one of these.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            return {key: file.get_tensor(key) for key in file.keys()}, card  # noqa: SIM118
    except FileNotFoundError:
        raise PolicyFileError(f"{called}: no such policy file") from None
    except DAMAGE as error:
        raise PolicyFileError(f"{called}: not a readable policy file ({error})") from None
