"""Sweeps by Hydra's launchers: what is started, what is left behind, what is said of failures."""

import json
import os
import stat
import warnings
from pathlib import Path

import pytest
import yaml

from jaxmem.cli import main
from jaxmem.commands import compare, train
from jaxmem.commands.multirun.jobs import LONGEST, sweep_of
from jaxmem.configuration import UsageError, configure
from jaxmem.learning.stopping import Terminated
from jaxmem.run_folder import RunFolder

COMPARED = ("workload=comb", "sequences=4", "policies=[first,best]")
TINY = (
    *("learner.steps=2000", "learner.arenas=16", "learner.rollout=16", "workload=comb"),
    *("sequences=256", "policies=[best]"),
)
RUN = ["config.yaml", "memory.png", "results.json", "sequences.npz", "table.md"]
