"""What all tests share: how hypothesis searches, and the golden files of the project."""

from pathlib import Path

import pytest
from hypothesis import settings

# The first example of a property pays for a compilation, so time says nothing about it; the same
# examples in every run make a failure one that everybody sees.
settings.register_profile("jaxmem", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("jaxmem")

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


@pytest.fixture(scope="session")
def golden_file():
    """A function from the name of a golden file to its path; skips where the files are absent."""

    def path(name: str) -> Path:
        if not (GOLDEN / name).is_file():
            pytest.skip(f"the golden file {GOLDEN / name} is not here")
        return GOLDEN / name

    return path
