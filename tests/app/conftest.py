"""What the tests of the page share."""

import pytest


@pytest.fixture(scope="package", autouse=True)
def small_room():
    """Games are played in 128 cells at least, not 256, which take twice as long to compile."""
    from jaxmem.app import games

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(games, "UNROLLED_CELLS", 128)
        yield
