"""Learning from runs of a million requests: how much memory it takes, and what it tells."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REQUESTS = 1_000_000
MOST_MEMORY = 2 * 2**30  # bytes, of the whole process
LEARN = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from program_runs import batches_run
from jaxmem.recordings.learning import learn_from_runs
from jaxmem.settings.recordings import RuleSearchConfig

told = []
runs = [batches_run(batch, int(sys.argv[2]) // 31) for batch in (8, 13)]
learned = learn_from_runs(runs, 1, 8, RuleSearchConfig(), told.append)
needed = {name: of[0] for name, of in learned.held_out.items()}
memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"memory": memory, "told": told, "needed": needed, "chosen": learned.chosen}))
"""


@pytest.mark.slow
def test_a_million_requests_take_bounded_memory_and_are_told_of():
    support = str(Path(__file__).parents[1] / "support")
    words = [sys.executable, "-c", LEARN, support, str(REQUESTS)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["memory"] < MOST_MEMORY
    assert len(set(found["told"])) > 100  # while whole runs are played, each percent
    assert found["needed"][found["chosen"]] <= found["needed"]["best-fit"]
