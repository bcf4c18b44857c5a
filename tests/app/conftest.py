"""What the tests of the page share."""

import pytest

from jaxmem.app import games


@pytest.fixture(scope="package", autouse=True)
def small_room():
    """Games are played in 128 cells at least, not 256, which take twice as long to compile."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(games, "UNROLLED_CELLS", 128)
        yield
