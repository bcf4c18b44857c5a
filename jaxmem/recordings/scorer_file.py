"""Learned scorers of holes in files: the weights, what they are of, and where they come from."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxmem.carded_file import PolicyFileError, read_policy_file, write_policy_file
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer

SCORER_FORMAT = "jaxmem-scorer-1"
_SHIPPED = Path(__file__).parent / "scorers"
# Those that come with the package, to be loaded by name.
SCORERS = tuple(sorted(file.stem for file in _SHIPPED.glob("*.safetensors")))
_NAMES = {"weights": HOLE_FEATURES, "prior": PRIOR}


def save_scorer(path: Path | str, scorer: HoleScorer, training: dict[str, object]) -> None:
    """Writes the weights with how they were learned, whole or not at all."""
    arrays = {name: np.asarray(getattr(scorer, name), np.float32) for name in _NAMES}
    write_policy_file(path, arrays, {"format": SCORER_FORMAT, **_NAMES, "training": training})


def load_scorer(path: Path | str) -> HoleScorer:
    """Loads the scorer in a file of `save_scorer`, or the one of that name in the package.

    Nothing in the file is executed.

    Raises:
        PolicyFileError: no such file, no scorer, or made for other features than this version's.
    """
    file = _SHIPPED / f"{path}.safetensors" if path in SCORERS else path
    arrays, card = read_policy_file(file, path)
    if not isinstance(card, dict) or card.get("format") != SCORER_FORMAT:
        raise PolicyFileError(
            f"{path}: no scorer of format {SCORER_FORMAT}; recordings in bytes need one"
        )
    for name, features in _NAMES.items():
        if card.get(name) != list(features):
            raise PolicyFileError(f"{path}: made for other features than this version's, of {name}")
        array = arrays.get(name)
        if array is None or array.dtype != np.float32 or array.shape != (len(features),):
            raise PolicyFileError(f"{path}: {name} are not {len(features)} float32")
        if not np.isfinite(array).all():
            raise PolicyFileError(f"{path}: it holds numbers that are not finite")
    return HoleScorer(jnp.asarray(arrays["weights"]), jnp.asarray(arrays["prior"]))
