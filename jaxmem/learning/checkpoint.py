"""Checkpoints of whole runs: written beside the training, whole or not at all, checked when read.

Orbax writes them in the background and puts each in place by one rename. What is read back is
compared with the checksums that were taken before it was written, so a file that was cut off,
changed or deleted costs its own checkpoint and no other.
"""

import json
import logging
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.learning.hosts import Tree, is_key

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

LATEST = 3  # checkpoints that are kept, and the best
CHECKPOINT_FORMAT = "jaxmem-checkpoint-1"


class Checkpoints:
    """The checkpoints of one run, in a folder of their own; used by one process."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        """Opens the folder, which need not exist.

        Args:
            tell: is told what could not be written or read; the run goes on.
        """
        self.folder, self._tell = folder, tell
        self._manager: ocp.CheckpointManager | None = None

    def save(self, update: int, state: object, about: Mapping[str, object], failed: float) -> None:
        """Begins to write what a run is after `update` updates; waits for the one before.

        Args:
            state: pytree of arrays, copied before this returns.
            about: what JSON can hold.
            failed: by which the best checkpoint is known, in %.
        """
        import orbax.checkpoint as ocp

        leaves = _leaves(state)
        about = {
            "format": CHECKPOINT_FORMAT,
            "leaves": {
                name: [str(leaf.dtype), list(leaf.shape), zlib.crc32(leaf.data)]
                for name, leaf in leaves.items()
            },
            "run": about,
        }
        try:
            manager = self._opened()
            manager.wait_until_finished()
            manager.save(
                update,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(leaves), about=ocp.args.JsonSave(about)
                ),
                metrics={"failed": failed},
                force=True,
            )
        except Exception as error:  # a full disk must not end the training
            self._could_not_write(error)

    def wait(self) -> None:
        """Waits until what was saved is on disk."""
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # likewise
            self._could_not_write(error)

    def newest(
        self, like: Tree, check: Callable[[dict[str, Any]], None] = lambda about: None
    ) -> tuple[Tree, dict[str, Any]] | None:
        """The newest good checkpoint, as it was saved; None: there is none.

        Args:
            like: pytree of the shapes and types that the run has, as of `jax.eval_shape`.
            check: raises where what was saved beside the arrays is of no use.
        """
        self.close()  # Orbax remembers what it has written, whatever has become of it
        for entry in self._entries():
            try:
                found = self._read(entry, like)
                check(found[1])
            except Exception as error:  # whatever a broken file makes of the reader
                reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
                self._tell(f"checkpoint {entry} cannot be used: {reason}")
                self._set_aside(entry)
                continue
            return found
        return None

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self.wait()
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    def remove(self) -> None:
        """Deletes all checkpoints, once the run is finished."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _entries(self) -> list[Path]:
        """The folders of the checkpoints, the newest first."""
        every = self.folder.iterdir() if self.folder.is_dir() else ()
        numbered = [entry for entry in every if entry.name.isdecimal()]
        return sorted(numbered, key=lambda entry: int(entry.name), reverse=True)

    def _opened(self) -> "ocp.CheckpointManager":
        if self._manager is None:
            import orbax.checkpoint as ocp
            from orbax.checkpoint import checkpoint_managers as keeping

            for entry in self._entries():
                if not _ranked(entry):  # which Orbax would not open a folder with
                    self._tell(f"checkpoint {entry} cannot be used: its metrics are broken")
                    self._set_aside(entry)
            # Orbax tells the log of each file; what a user must know is told by this class.
            logging.getLogger("absl").setLevel(logging.CRITICAL)
            best = keeping.BestN(
                get_metric_fn=lambda found: -found["failed"],
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            self._manager = ocp.CheckpointManager(
                self.folder.absolute(),
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=keeping.AnyPreservationPolicy(
                        [keeping.LatestN(n=LATEST), best]
                    ),
                    best_fn=lambda found: found["failed"],  # without it none are written
                    best_mode="min",
                    cleanup_tmp_directories=True,
                    create=True,
                    multiprocessing_options=_alone(ocp.options),
                ),
            )
        return self._manager

    def _read(self, entry: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
        import orbax.checkpoint as ocp

        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
            about = reader.restore((entry / "about").absolute())
        if not isinstance(about, dict) or about.get("format") != CHECKPOINT_FORMAT:
            raise ValueError(f"it is not of format {CHECKPOINT_FORMAT}")
        wanted = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in _shapes(like).items()}
        ours = {name: [str(leaf.dtype), list(leaf.shape)] for name, leaf in wanted.items()}
        its = {name: known[:2] for name, known in about["leaves"].items()}
        if ours != its:
            differing = sorted(name for name in ours | its if ours.get(name) != its.get(name))
            raise ValueError(f"it is of another run; differing: {', '.join(differing[:3])}")
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            leaves = reader.restore(
                (entry / "state").absolute(), args=ocp.args.StandardRestore(wanted)
            )
        for name, leaf in leaves.items():
            leaves[name] = leaf = np.asarray(leaf, order="C")
            if zlib.crc32(leaf.data) != about["leaves"][name][2]:
                raise ValueError(f"{name} is not what was written")
        return _tree(leaves, like), about["run"]

    def _set_aside(self, entry: Path) -> None:
        """Out of the way of the next checkpoint of that number; nothing is lost that was good."""
        aside = entry.with_name(f"{entry.name}.unusable")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            entry.rename(aside)
        except OSError as error:
            self._tell(f"{entry} stays where it is: {error.strerror}")

    def _could_not_write(self, error: Exception) -> None:
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        self._tell(f"no checkpoint could be written to {self.folder}: {reason}; training goes on")
        self._manager = None


@dataclass(frozen=True)
class Checkpointing:
    """Where checkpoints are written, and how often; of several processes, by the first alone."""

    checkpoints: Checkpoints
    seconds: float = 60.0  # between two of them; 0: at every chance


def _ranked(entry: Path) -> bool:
    """Tells whether a checkpoint says how much failed, by which the best is kept."""
    try:
        found = json.loads((entry / "metrics" / "metrics").read_text(encoding="utf-8"))
        return isinstance(found["failed"], float)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _alone(options: ModuleType) -> "ocp.options.MultiprocessingOptions":
    """One process of several writes; the others are not waited for."""
    if jax.process_count() == 1:
        return options.MultiprocessingOptions()
    here = jax.process_index()
    return options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix="jaxmem"
    )


def _named_leaves(tree: object) -> list[tuple[str, jax.Array]]:
    """Each leaf that holds anything, with its path, which names it in the file."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in paths]
    return [(name, leaf) for name, leaf in named if leaf.size]


def _leaves(tree: object) -> dict[str, np.ndarray]:
    """Copies of the leaves on the host, typed keys as their numbers."""
    return {
        name: np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf, order="C")
        for name, leaf in _named_leaves(tree)
    }


def _shapes(like: object) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes that `_leaves` of such a tree has."""
    numbers = {
        name: jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
        for name, leaf in _named_leaves(like)
    }
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in numbers.items()}


def _tree(leaves: dict[str, np.ndarray], like: Tree) -> Tree:
    """The tree whose `_leaves` these are."""
    found = iter([leaves[name] for name, _ in _named_leaves(like)])

    def again(leaf: jax.Array) -> chex.Array:
        if not leaf.size:
            return np.zeros(leaf.shape, leaf.dtype)
        return jax.random.wrap_key_data(jnp.asarray(next(found))) if is_key(leaf) else next(found)

    return jax.tree.map(again, like)
