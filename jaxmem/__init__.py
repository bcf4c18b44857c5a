"""jaxmem: learn where in memory a block should go, thousands of arenas at a time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxmem import extensions
    from jaxmem.environment.tasks import make, tasks
    from jaxmem.evaluation.compare import compare
    from jaxmem.learning.train import train
    from jaxmem.policies.policy_file import load_policy
    from jaxmem.recordings.torch_recording import record_torch

    __version__: str
    register_format = extensions.register_format
    register_learner = extensions.register_learner
    register_network = extensions.register_network
    register_observation = extensions.register_observation
    register_reward = extensions.register_reward
    register_rule = extensions.register_rule
    register_workload = extensions.register_workload

__all__ = [
    "compare",
    "load_policy",
    "make",
    "record_torch",
    "register_format",
    "register_learner",
    "register_network",
    "register_observation",
    "register_reward",
    "register_rule",
    "register_workload",
    "tasks",
    "train",
]

_HOME = {
    "compare": "jaxmem.evaluation.compare",
    "load_policy": "jaxmem.policies.policy_file",
    "make": "jaxmem.environment.tasks",
    "record_torch": "jaxmem.recordings.torch_recording",
    "tasks": "jaxmem.environment.tasks",
    "train": "jaxmem.learning.train",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: `jaxmem --help` and bad input should not wait for JAX, nor Ctrl-C.
    if name == "__version__":
        return import_module("importlib.metadata").version("jaxmem")
    if name in _HOME:
        import_module("jaxmem.extensions").load()  # so that names of others are known
        return getattr(import_module(_HOME[name]), name)
    if name.startswith("register_"):
        return getattr(import_module("jaxmem.extensions"), name)
    raise AttributeError(f"module 'jaxmem' has no attribute {name!r}")
