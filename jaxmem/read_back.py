"""JSON and YAML that jaxmem wrote and reads again, whatever has become of it since."""

import json
import math
import reprlib
from pathlib import Path
from typing import Any

import yaml

MOST_FILE_BYTES = {".json": 2**27, ".yaml": 2**20}
LARGEST = {bool: 2, int: 2**64, float: 2.0**128}  # the last: of float32
MOST_VALUES = 2**22  # with those that a YAML file has once and means many times


class BrokenFileError(ValueError):
    """A file that is not as jaxmem writes it: says which and why, on one line."""


def read_mapping(file: Path) -> dict[str, Any]:
    """Reads a JSON or YAML file: a mapping from names to texts, numbers, lists and mappings.

    Raises:
        FileNotFoundError: there is none.
        BrokenFileError: it cannot be read, or holds something else.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_FILE_BYTES[file.suffix] + 1)
        if len(data) > MOST_FILE_BYTES[file.suffix]:
            raise ValueError(f"longer than {MOST_FILE_BYTES[file.suffix]:,} bytes")
        text = data.decode()
        found = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise
    except RecursionError:
        raise BrokenFileError(f"{file.name}: nested too deep") from None
    except Exception as error:  # whatever a broken file makes of the reader
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BrokenFileError(f"{file.name}: {reason}") from None
    if not isinstance(found, dict):
        raise BrokenFileError(f"{file.name} is no mapping")
    _check_plain(file, found)
    return found


def _check_plain(file: Path, found: object) -> None:
    """Raises BrokenFileError for what jaxmem writes nowhere: other keys or values, or no end."""
    left: list[object] = [found]
    seen = 0
    while left:
        value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise BrokenFileError(f"{file.name} holds more than {MOST_VALUES:,} values")
        if isinstance(value, dict):
            strange = next((key for key in value if not isinstance(key, str)), None)
            if strange is not None or None in value:
                raise BrokenFileError(f"{file.name} has a key that is no text: {brief(strange)}")
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, int | float) and not abs(value) < LARGEST[type(value)]:  # or NaN
            raise BrokenFileError(f"{file.name} has a number that is none: {brief(value)}")
        elif value is not None and not isinstance(value, str | int | float):
            raise BrokenFileError(f"{file.name} has a value of another kind: {brief(value)}")


def is_finite_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Tells whether a value is a finite number within these bounds, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and abs(value) < math.inf


def brief(value: object) -> str:
    """Shortens a value for a message, whatever it is."""
    return reprlib.repr(value)
