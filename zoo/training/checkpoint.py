"""Checkpoints of the training state, by Orbax: asynchronous, atomic, nothing pickled."""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import jax
import orbax.checkpoint as ocp

State = TypeVar("State")

_KEPT = 2  # the newest, and the one before it


class Checkpoints:
    """The checkpoints of one run, as a context manager that on leaving waits for the last one to be whole.

    A checkpoint is written to a temporary directory and renamed when it is complete, so a killed process leaves
    either a whole checkpoint or none. The two newest are kept.

    Args:
        directory: of the checkpoints; made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        logging.getLogger("absl").setLevel(logging.WARNING)  # Orbax reports every file it touches
        options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(directory.resolve(), options=options)

    def save(self, step: int, state: object) -> None:
        """Starts writing the state; returns as soon as it is copied from the device."""
        if step != self._manager.latest_step():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def latest_step(self) -> int | None:
        """The step of the newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def restore(self, state: State) -> State:
        """The newest whole checkpoint, in the structure, shapes, dtypes and placement of `state`.

        Raises:
            FileNotFoundError: if there is none.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        return self._manager.restore(self._manager.latest_step(), args=ocp.args.StandardRestore(abstract))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.close()
