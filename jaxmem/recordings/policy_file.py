"""Policies that play in bytes, whatever kind they are, by their name, file or run folder."""

from pathlib import Path

from jaxmem.carded_file import POLICY_FILE, PolicyFileError, read_policy_file
from jaxmem.recordings.hole_scorer import HoleScorer
from jaxmem.recordings.profiled_policy import PROFILED_FORMAT, ProfiledPolicy, profiled_of
from jaxmem.recordings.scorer_file import SCORERS, load_scorer


def load_byte_policy(name: str) -> HoleScorer | ProfiledPolicy:
    """Loads a policy: of the package, of a file, or of the run folder that it was trained in.

    Nothing in the file is executed.

    Raises:
        PolicyFileError: no such file, or none that plays in bytes.
    """
    if name in SCORERS:
        return load_scorer(name)
    path = Path(name)
    if path.is_dir():
        path /= POLICY_FILE
        if not path.exists():
            raise PolicyFileError(f"{name}: this folder holds no {POLICY_FILE}")
    arrays, card = read_policy_file(path, name)
    if isinstance(card, dict) and card.get("format") == PROFILED_FORMAT:
        return profiled_of(name, arrays, card)
    return load_scorer(path)
