"""The learners by name; `jaxmem.settings.learner` has their settings."""

from jaxmem.learning.branching import Branching
from jaxmem.learning.dqn import DQN
from jaxmem.learning.learner import Learner
from jaxmem.learning.pqn import PQN

LEARNERS: dict[str, type[Learner]] = {"pqn": PQN, "dqn": DQN, "branching": Branching}
