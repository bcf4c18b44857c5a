"""What policies are compared on: checked before anything is drawn, each policy file read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxmem.evaluation.beam import BEAM_WIDTH
from jaxmem.evaluation.hindsight import check_searchable
from jaxmem.names import nearest
from jaxmem.policies import Policy, policy
from jaxmem.policies.policy_file import SHIPPED, Card, policy_of, read_policy
from jaxmem.policies.q_functions import QFunction
from jaxmem.rules import NAMES, TUNED
from jaxmem.settings.fields import Count, Seed, check
from jaxmem.settings.learner import STRONGEST
from jaxmem.settings.verbs import SHOWN
from jaxmem.workloads.registry import Workload

MEASURES = (*SHOWN, "high_water_per_peak", "placed_requests")
COSTLY_MEASURES = ("arena_needed", "arena_needed_per_peak", "decision_nanoseconds")


@dataclass(frozen=True)
class Question:
    """Policies and the conditions that they are compared under, checked when it is made."""

    task: Workload
    players: Mapping[str, Policy | None]  # by name; None: a rule that is tuned first
    sequences: int
    seed: int
    reference: str  # a policy compared; "strongest": the classical fit that fails least
    measures: tuple[str, ...]
    hindsight: bool = False  # also search for how few requests could have failed
    hindsight_width: int = BEAM_WIDTH  # of that search's beam
    tuning_sequences: int | None = None  # that rules are tuned on; None: as many as is usual
    notes: tuple[str, ...] = ()  # what is to be said of the players
    learned: QFunction | None = None  # of a policy called learned that comes later

    def __post_init__(self) -> None:
        names = [*self.players, *(["learned"] if self.learned else [])]
        if len(set(names)) < len(names):
            raise ValueError("policy learned is given twice: this run makes one of its own")
        check("sequences", self.sequences, Count)
        check("seed", self.seed, Seed)
        self._check_measures(names)
        for player in filter(None, self.players.values()):
            player.check_plays(self.task.cells)
        arenas = {name: player.arena for name, player in self.players.items() if player}
        if self.learned:
            arenas["learned"] = self.learned.arena
        smaller = any(measure.startswith("arena_needed") for measure in self.measures)
        for name, arena in arenas.items():
            if arena is not None and smaller:
                raise ValueError(
                    f"arena_needed: policy {name} plays in arenas of {arena} cells only, and no "
                    "smaller"
                )
        if self.hindsight:
            check_searchable(self.task)

    def _check_measures(self, names: Sequence[str]) -> None:
        if self.reference not in (STRONGEST, *names):
            near = nearest(str(self.reference), names)
            raise ValueError(f"reference {self.reference!r} is not compared{near}")
        known = (*MEASURES, *COSTLY_MEASURES)
        for name in self.measures:
            if name not in known:
                raise ValueError(f"unknown measure {name!r}{nearest(str(name), known)}")
        if "failed_requests" not in self.measures:
            raise ValueError("measures must have failed_requests: policies are ranked by it")

    def with_learned(self, player: Policy) -> "Question":
        """Returns the question with the policy that was to come."""
        return replace(self, players={**self.players, player.name: player}, learned=None)


def question_of(
    policies: Sequence[str | Policy],
    task: Workload,
    sequences: int = 1024,
    seed: int = 0,
    reference: str = STRONGEST,
    measures: Sequence[str] = SHOWN,
    hindsight: bool = False,
    hindsight_width: int = BEAM_WIDTH,
    tuning_sequences: int | None = None,
    learned: QFunction | None = None,
) -> Question:
    """Asks for the comparison of policies, by name, path or themselves.

    Raises:
        ValueError: an unknown or double name, or a value out of range.
    """
    players, unhinted = _players(policies)
    said = "was trained without hints: what they say here is new to it"
    return Question(
        task=task,
        players=players,
        sequences=sequences,
        seed=seed,
        reference=reference,
        measures=tuple(measures),
        hindsight=hindsight,
        hindsight_width=hindsight_width,
        tuning_sequences=tuning_sequences,
        notes=tuple(f"{name} {said}" for name in unhinted) if task.has_hints else (),
        learned=learned,
    )


def find_policy(name: str) -> tuple[Policy, Card | None]:
    """Finds a policy by its name, or reads the file or run folder that `name` is a path of.

    The policies that come with the package have names too.

    Returns:
        The policy, and the card of one that was in a file.

    Raises:
        ValueError: it is neither, with the nearest names.
    """
    path = Path(name)
    if name in SHIPPED:
        file = name
    elif name in NAMES:
        return policy(name), None
    elif path.is_dir():
        file = path / "policy.safetensors"
    elif name.endswith(".safetensors"):
        file = path
    else:
        raise ValueError(f"unknown policy {name!r}{nearest(name, (*NAMES, *SHIPPED))}")
    network, card = read_policy(file)
    return policy_of(network, card, name if name in SHIPPED else "learned"), card


def _players(policies: Sequence[str | Policy]) -> tuple[dict[str, Policy | None], list[str]]:
    """Returns the policies by name, and which of those saved were trained without hints.

    None stands for a rule that must be tuned first.
    """
    if not policies:
        raise ValueError(f"no policy to compare; known: {', '.join(NAMES)}, or a policy file")
    players: dict[str, Policy | None] = {}
    unhinted: list[str] = []
    for entry in policies:
        if isinstance(entry, str) and entry in TUNED:
            name, player = entry, None
        else:
            player, card = (entry, None) if isinstance(entry, Policy) else find_policy(str(entry))
            if card is not None and card.training.get("lifetime_hints", "none") == "none":
                unhinted.append(str(entry))
            if player.name in players and isinstance(entry, str) and entry not in NAMES:
                # A second saved policy goes by the name of its run folder.
                path = Path(entry)
                player = replace(player, name=path.parent.name if path.suffix else path.name)
            name = player.name
        if name in players:
            raise ValueError(f"policy {name} is given twice")
        players[name] = player
    return players, unhinted
