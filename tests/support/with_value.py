"""Settings changed by a word, without Hydra, whose composition takes a tenth of a second."""

import copy

from jaxmem.overrides import parsed


def with_value(config: dict, word: str) -> dict | None:
    """Sets what a word says, as Hydra would; None: it stands for several values."""
    (override,) = parsed([word])
    if override.is_sweep_override():
        return None
    given, value = copy.deepcopy(config), override.value()
    node = given
    *above, last = override.key_or_group.split(".")
    for key in above:
        node = node[key]
    both = isinstance(value, dict) and isinstance(node.get(last), dict)
    node[last] = {**node[last], **value} if both else value
    return given
