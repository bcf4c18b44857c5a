"""`compare workload=trace` and `trace info` say the same of a recording, at the same slack."""

import numpy as np
import pytest

from jaxmem.evaluation.run import failed_share
from jaxmem.policies import policy
from jaxmem.recordings import load_library
from jaxmem.recordings.headroom import FACTORS
from jaxmem.recordings.orders import order_of
from jaxmem.recordings.replay import events_of, replay
from jaxmem.workloads.registry import workload

ALIGNMENT = 16  # of trace info
CAPACITY = 2**18  # cells that every arena here could have: one program for all slacks
APART, NOISE = 0.3, 0.1  # points, of failed requests in %


def failed_by_slack(name: str) -> tuple[list[float], list[float]]:
    """Best-fit's failed requests in % as the two commands find them, by slack."""
    events = events_of(load_library(name), ALIGNMENT)
    info, compared = [], []
    for slack in (1.0, *FACTORS):
        played = replay(events, int(slack * events.peak_live), order_of("best", 1))
        info.append(100 * float(played.failed.mean()))
        task = workload("trace", name=name, slack=slack)
        requests = task.requests("test", 0, 1)
        compared.append(failed_share(policy("best"), requests, task, capacity=CAPACITY))
    return info, compared


@pytest.mark.parametrize(
    "name",
    [
        "torch_cpu_mlp_train",
        "xla_cpu_jax_convnet_train",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("torch_cpu_lstm", "valgrind_sqlite3", "memray_python_tables")
        ),
    ],
)
def test_best_fit_fails_as_much_in_cells_as_in_bytes_and_less_with_more_slack(name):
    info, compared = failed_by_slack(name)
    np.testing.assert_allclose(compared, info, atol=APART)
    assert np.diff(compared).max() <= NOISE
    assert compared[0] > 0  # an arena that tells something
    assert compared[-1] < compared[0]
