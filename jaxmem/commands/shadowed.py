"""Policies of the package, beside which a folder of the same name lies here."""

import os
from collections.abc import Sequence

from rich.console import Console

from jaxmem.policies.policy_file import SHIPPED
from jaxmem.recordings.scorer_file import SCORERS
from jaxmem.rules import NAMES


def tell_shadowed(console: Console, policies: Sequence[str] | None) -> None:
    """Says of each name of a policy that is a folder here too which of them is taken."""
    for name in policies or ():
        if name in (*NAMES, *SHIPPED, *SCORERS) and os.path.isdir(name):
            console.print(
                f"policies: {name} is the policy of the package; the folder is ./{name}",
                soft_wrap=True,
            )
