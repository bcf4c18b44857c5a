"""Learned scorers of holes in files: the weights, what they are of, and where they come from."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxmem.policies.hole_scorer import FEATURES, PRIOR, HoleScorer
from jaxmem.policies.saved import PolicyFileError

FORMAT = "jaxmem-scorer-1"
_SHIPPED = Path(__file__).parent / "shipped" / "scorers"
# Those that come with the package, to be loaded by name.
SCORERS = tuple(sorted(file.stem for file in _SHIPPED.glob("*.safetensors")))
_NAMES = {"weights": FEATURES, "prior": PRIOR}


def save_scorer(path: Path | str, scorer: HoleScorer, training: dict[str, Any]) -> None:
    """Writes the weights with how they were learned, whole or not at all."""
    path = Path(path)
    arrays = {name: np.ascontiguousarray(getattr(scorer, name), np.float32) for name in _NAMES}
    card = {"format": FORMAT, **_NAMES, "training": training}
    partial = path.with_suffix(".partial")
    save_file(arrays, partial, metadata={"card": json.dumps(card)})
    partial.chmod(0o644)  # safetensors writes files that only their owner can read
    partial.replace(path)


def load_scorer(path: Path | str) -> HoleScorer:
    """The scorer in a file of `save_scorer`, or the one of that name that comes with the package.

    Nothing in the file is executed.

    Raises:
        PolicyFileError: no such file, no scorer, or made for other features than this version's.
    """
    file_path = _SHIPPED / f"{path}.safetensors" if path in SCORERS else path
    try:
        with safe_open(file_path, framework="numpy") as file:
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
        raise PolicyFileError(f"{path}: no scorer of format {FORMAT}; recordings in bytes need one")
    for name, features in _NAMES.items():
        if card.get(name) != list(features):
            raise PolicyFileError(f"{path}: made for other features than this version's, of {name}")
        array = arrays.get(name)
        if array is None or array.dtype != np.float32 or array.shape != (len(features),):
            raise PolicyFileError(f"{path}: {name} are not {len(features)} float32")
        if not np.isfinite(array).all():
            raise PolicyFileError(f"{path}: it holds numbers that are not finite")
    return HoleScorer(jnp.asarray(arrays["weights"]), jnp.asarray(arrays["prior"]))
