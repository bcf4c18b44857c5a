"""Policies of several training seeds beside every rule, on the same test sequences."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxmem.evaluation.run import failed_shares
from jaxmem.evaluation.statistics import estimate_over_seeds
from jaxmem.evaluation.tuning import least_failing, tuned
from jaxmem.policies import Policy, policy
from jaxmem.rules import CLASSICAL, TUNED, rivals
from jaxmem.workloads.registry import Workload


class Rules:
    """The rules that apply to a workload, as they did on test sequences."""

    def __init__(
        self,
        task: Workload,
        seed: int,
        sequences: int,
        tuning_sequences: int,
        report: Callable[[str], None],
    ) -> None:
        """Plays the four textbook fits, the rules that are tuned, and, with hints, hint_fit.

        Args:
            sequences: P, to be tested on; at least 1.
            tuning_sequences: training sequences that rules are tuned on.
            report: is told what is being done.
        """
        report("drawing test sequences")
        self._task, self._seed = task, seed
        self._requests = task.requests("test", seed, sequences)
        self.failed: dict[str, np.ndarray] = {}  # float64[P], %, by rule
        for name in (rule.name for rule in rivals(task.has_hints)):
            report(f"playing {name}")
            player = tuned(name, task, seed, tuning_sequences)[0] if name in TUNED else policy(name)
            self.failed[name] = self._shares(player)
        # Differences are to the fit that is the hardest to beat.
        self.reference = least_failing({name: self.failed[name].mean() for name in CLASSICAL})

    @property
    def about(self) -> dict[str, object]:
        """The entry of results.json on them."""
        means = {name: float(failed.mean()) for name, failed in self.failed.items()}
        return {"reference": self.reference, "rules": means}

    def beside(self, policies: Sequence[Policy]) -> np.ndarray:
        """Measures what policies of S seeds fail of the same requests, in %: float64[S, P]."""
        return np.stack([self._shares(player) for player in policies])

    def figures(self, failed: np.ndarray) -> dict[str, object]:
        """Estimates such failures, and what they are less those of the reference."""
        paired = failed - self.failed[self.reference]
        return {
            "failed_requests": vars(estimate_over_seeds(failed, self._seed)),
            "difference": vars(estimate_over_seeds(paired, self._seed)),
        }

    def _shares(self, player: Policy) -> np.ndarray:
        return failed_shares(player, self._requests, self._task)
