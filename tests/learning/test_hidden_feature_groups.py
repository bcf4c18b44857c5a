"""A network learns nothing from the features that are hidden from it, whoever teaches it."""

import functools

import jax
import numpy as np
import pytest

from jaxmem.environment.observations import FEATURES, GROUPS
from jaxmem.environment.tasks import params_of
from jaxmem.learning.config import train_config
from jaxmem.learning.learner import train_block
from jaxmem.learning.learners import LEARNERS
from jaxmem.learning.settings import numbers_of
from jaxmem.policies import policy
from jaxmem.workloads.registry import workload

TASK = workload("large-short-lived")
SMALL = {"arenas": 16, "hidden_sizes": [8]}
SETTINGS = {
    "pqn": {"rollout": 4, "minibatches": 2},
    "dqn": {"rollout": 8, "learning_starts": 32, "batch": 16, "gradient_steps": 2},
    "branching": {"horizon": 4, "minibatch": 32, "buffer_updates": 2},
}


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.slow
def test_weights_of_features_that_are_not_seen_stay_as_they_were(learner):
    hidden_feature_groups = ["neighbour_sizes", "holes_after"]
    config = train_config(
        TASK,
        learner,
        holes=3,
        hidden_feature_groups=hidden_feature_groups,
        **SMALL,
        **SETTINGS[learner],
    )
    params = params_of(TASK, "train", 0, 16)
    taught, numbers = config.make_learner(), numbers_of(config.settings)
    first = jax.jit(taught.init)(jax.random.key(0), params, policy("best"), numbers)
    after, _ = jax.jit(functools.partial(train_block, taught))(first, params, np.int32(3))
    before, now = (
        np.asarray(state.parameters["params"]["Dense_0"]["kernel"]) for state in (first, after)
    )
    unseen = np.isin(FEATURES, [name for group in hidden_feature_groups for name in GROUPS[group]])
    np.testing.assert_array_equal(now[unseen], before[unseen])
    seen = np.isin(FEATURES, GROUPS["place"])
    assert (now[seen] != before[seen]).any(axis=1).all()
