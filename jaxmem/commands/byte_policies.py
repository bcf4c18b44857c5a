"""Policies that play recordings in bytes, as a command asks for them."""

import os
from collections.abc import Sequence

from jaxmem.commands import checked
from jaxmem.configuration import UsageError
from jaxmem.names import nearest
from jaxmem.policies.policy_file import SHIPPED
from jaxmem.recordings.policy_file import IN_PACKAGE, load_byte_policy
from jaxmem.rules import ORDERED


def check_byte_policies(names: Sequence[str] | None) -> Sequence[str]:
    """Returns the policies asked for, which all play in bytes; null: all rules that do."""
    if names is None:
        return [*ORDERED, "learned"]
    if not names:
        raise UsageError(f"policies is []; name one or more of {', '.join(IN_PACKAGE)}")
    for name in names:
        if name in SHIPPED:
            raise UsageError(
                f"policies: {name} plays no recording in bytes: it was trained in arenas of a few "
                "hundred cells; jaxmem compare workload=trace plays it where bytes are cut into "
                "cells"
            )
        if name in IN_PACKAGE:
            continue
        if not (name.endswith(".safetensors") or os.path.isdir(name)):
            raise UsageError(
                f"policies: unknown policy {name!r}{nearest(name, IN_PACKAGE)} (or a file "
                "NAME.safetensors of a learned one, or a run folder of jaxmem train workload=runs)"
            )
        checked(load_byte_policy, name)
    if len(set(names)) < len(names):
        raise UsageError(f"policies is {list(names)}; name each once")
    return names
