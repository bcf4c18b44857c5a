"""Plans in the files of policies: what is loaded is what was saved, all else is refused."""

import json
import re

import numpy as np
import pytest
from program_runs import batches_run
from safetensors.numpy import save_file

from jaxmem.carded_file import PolicyFileError, read_policy_file
from jaxmem.recordings.class_rule import RuleNumbers
from jaxmem.recordings.forecast import ForecastPlan
from jaxmem.recordings.plan_search import packed_plan, unpacked_plan
from jaxmem.recordings.policy_file import load_byte_policy
from jaxmem.recordings.profile import profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy, save_profiled
from jaxmem.recordings.replay import events_of

BASE, OTHER = batches_run(8, 3), batches_run(13, 2)
PLAN = packed_plan(unpacked_plan(BASE, [OTHER], 64), 0.03)
POLICY = ProfiledPolicy(profile_of([BASE, OTHER]), RuleNumbers(300, 64, (0, 1, 2, 3)), plan=PLAN)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.safetensors"


def test_a_plan_comes_back_exactly_and_plans_the_same(path):
    save_profiled(path, POLICY)
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert found.plan is not None
    for name in ForecastPlan._fields:
        mine, yours = getattr(found.plan, name), getattr(PLAN, name)
        np.testing.assert_array_equal(mine, yours)
        assert np.asarray(mine).dtype == np.asarray(yours).dtype
    events = events_of(batches_run(11, 5), 64)
    planned, expected = found.foretold(events).planned, POLICY.foretold(events).planned
    assert planned is not None
    assert (planned >= 0).mean() > 0.9
    np.testing.assert_array_equal(planned, expected)


def test_a_policy_without_a_plan_has_none_in_its_file(path):
    save_profiled(path, ProfiledPolicy(POLICY.profile, POLICY.rule))
    arrays, card = read_policy_file(path, path)
    assert set(arrays) == {"key", "lifetime"}
    assert isinstance(card, dict)
    assert "plan" not in card
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert found.plan is None


CARD = {"alignment": 64, "margin": 0.03}
BROKEN = [
    ({"plan": None}, "its plan has no alignment"),
    ({"plan": {**CARD, "alignment": 0}}, "its plan has no alignment"),
    ({"plan": {**CARD, "alignment": True}}, "its plan has no alignment"),
    ({"plan": {**CARD, "margin": -0.1}}, "its plan has no margin from 0 to 1"),
    ({"plan": {**CARD, "margin": "much"}}, "its plan has no margin"),
    ({"plan_size": None}, "plan_context is no uint64 for each place"),
    ({"plan_size": PLAN.size.astype(np.int32)}, "plan_size is no int64"),
    ({"plan_size": PLAN.size[:-1]}, "plan_context is no uint64 for each place"),
    ({"plan_context": PLAN.context[:2]}, "plan_context is no uint64"),
    ({"plan_start": PLAN.start[1:]}, "plan_start is no int64"),
    ({"plan_start": PLAN.start - 64}, "plan_start is not from 0 to"),
    ({"plan_lifetime": PLAN.lifetime * 0}, "plan_lifetime is not from 1 to"),
    ({"plan_size": PLAN.size * 0}, "plan_size is not from 1 to"),
    ({"plan_group": PLAN.group - 1}, "plan_group is not from 0 to"),
    ({"plan_group": PLAN.group + 2**30}, "plan_group is not from 0 to"),
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_a_broken_plan_is_told_in_one_line(path, changes, said):
    save_profiled(path, POLICY)
    arrays, card = read_policy_file(path, path)
    assert isinstance(card, dict)
    if "plan" in changes:
        card["plan"] = changes["plan"]
    else:
        arrays |= changes
    kept = {name: np.ascontiguousarray(of) for name, of in arrays.items() if of is not None}
    save_file(kept, path, {"card": json.dumps(card)})
    with pytest.raises(PolicyFileError, match=re.escape(said)) as told:
        load_byte_policy(str(path))
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
