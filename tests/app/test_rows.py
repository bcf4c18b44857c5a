"""What a row of the Play tab says of a policy at a moment."""

from types import SimpleNamespace

import numpy as np

from jaxmem.app.rows import figures, row
from jaxmem.render.palette import NEVER

GAME = SimpleNamespace(
    length=3,
    size=np.array([4, 9, 2]),
    lifetime=np.full(3, NEVER),
    task=SimpleNamespace(cells=10, layout=((8, 1),)),
)


def played(name="best", **measured):
    return SimpleNamespace(
        name=name,
        start=np.array([0, -1, 4]),
        holes=np.array([2, 2, 2, 2]),
        largest=np.array([8, 4, 4, 2]),
        fragmentation=lambda time, cells: [0.11, 0.2, 0.2, 0.33][time],
        figures={
            "placed_requests": 2.0, "failed_requests": 33.3333, "holes_per_cell": 0.2,
            "external_fragmentation": 0.333, "unusable_free": 0.4, "utilization": 0.7, **measured,
        },
    )  # fmt: skip


def test_a_row_says_where_the_request_goes():
    shown = row(GAME, played(), None, 0)
    assert "request 1 goes to cells 0 to 3" in shown
    assert "placed 0 of 0 · 2 holes, largest 8 · fragmentation 0.11" in shown
    assert "failed" not in shown


def test_a_row_says_that_nothing_holds_the_request():
    assert "1 failed: no hole holds 9" in row(GAME, played(), None, 1)


def test_a_row_after_the_last_request_shows_what_is_left():
    shown = row(GAME, played(), None, 3)
    assert "placed 2 of 3" in shown
    assert "1 failed<" in shown
    assert "goes to" not in shown


def test_a_row_of_a_learned_policy_shows_what_it_thinks_and_when_it_follows_its_guide():
    seen = SimpleNamespace(
        start=np.array([[0, 4, -1]] * 3), value=np.array([[1.5, 1.25, np.nan]] * 3)
    )
    mind = SimpleNamespace(
        seen=seen, says=lambda now, start: f"why {now} at {start}", scale="requests saved"
    )
    shown = row(GAME, played("learned"), mind, 0)
    assert "cell 0: 1.5000, taken" in shown
    assert "cell 4: 1.2500" in shown
    assert "why 0 at 0 · requests saved" in shown
    assert "thoughts" not in row(GAME, played("learned"), mind, 1)  # nothing fits: no candidate


def test_the_best_figure_of_a_column_is_bold_where_they_differ():
    shown = figures([played("best"), played("first", holes_per_cell=0.1)])
    assert '<td class="best" data-of="holes per cell">0.100</td>' in shown
    assert shown.count('class="best"') == 1
    assert "33.33" in shown
