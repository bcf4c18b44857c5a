"""Call sites that mean the same in every run of a program: names, and hashes of names."""

from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

UNKNOWN_KEY = 0  # the key of a request whose call site is not known


class CallSites(NamedTuple):
    """The call sites of a recording, S of them, by number."""

    key: np.ndarray  # uint64[S]  hash of the name, the same in every run; not 0
    name: tuple[str, ...] = ()  # S names, frames a line each, innermost first; none: only the keys

    def taken(self, numbers: np.ndarray) -> "CallSites":
        """Returns some of them, renumbered in this order."""
        return CallSites(self.key[numbers], tuple(self.name[at] for at in numbers if self.name))


def call_sites(names: Sequence[str]) -> CallSites:
    """Makes call sites of their names, each with its key."""
    return CallSites(np.array([site_key(name) for name in names], np.uint64), tuple(names))


def site_key(name: str) -> int:
    """Hashes the name of a call site to 64 bits, which are not 0."""
    data = name.encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def named_sites(sites: Iterable[Hashable]) -> CallSites | None:
    """Makes call sites of what a reader tells them apart by; None if one of them is no name.

    A name is a text, or a tuple of texts and numbers: its frames, each a line, the innermost first.
    Other values are numbers that mean something in one run only.
    """
    names = [_name(site) for site in sites]
    known = [name for name in names if name is not None]
    return call_sites(known) if len(known) == len(names) else None


def _name(site: Hashable) -> str | None:
    if isinstance(site, str):
        return site
    if isinstance(site, tuple):
        return "\n".join(
            ":".join(map(str, frame)) if isinstance(frame, tuple) else str(frame) for frame in site
        )
    return None
