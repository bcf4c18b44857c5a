"""Which point of a curve is the one whose network is kept."""

import math

from jaxmem.learning.member_state import MemberState, ValidationPoint


def member(best_failed, late, *points):
    curve = [ValidationPoint(steps, 0, 0.0, 0.0, 0.0, 0.0, failed) for steps, failed in points]
    return MemberState(best=None, best_failed=best_failed, late=late, curve=curve)


def test_of_late_points_the_first_that_fails_least_is_kept():
    points = (100, 5.0), (200, 4.0), (300, 4.5), (400, 4.0), (500, 4.0)
    assert member(4.0, True, *points).kept_at(300) == 400


def test_a_run_that_ended_early_keeps_the_first_that_failed_least():
    assert member(4.0, False, (100, 5.0), (200, 4.0), (300, 4.0)).kept_at(300) == 200


def test_without_a_point_nothing_is_kept():
    assert member(math.inf, False).kept_at(300) is None
