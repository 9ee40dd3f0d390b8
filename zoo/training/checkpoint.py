"""Checkpoints of the training state, by Orbax: asynchronous, atomic, under checksums, nothing pickled."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from zoo.training import checksums, processes
from zoo.training.processes import ProcessesError

State = TypeVar("State")

_KEPT = 2  # the newest, and the one before it
_UNFINISHED = ocp.path.atomicity.TMP_DIR_SUFFIX  # part of the name of an unfinished checkpoint


class CheckpointError(Exception):
    """A checkpoint cannot be written, or there are checkpoints but none that can be used."""


class Checkpoints:
    """The checkpoints of one run, as a context manager that on leaving waits for the last one to be whole.

    Where the run has several processes all of them open, save and restore at the same steps; each writes what it has,
    and the first completes the checkpoint.

    A checkpoint is written to a temporary directory, which is renamed when everything is in it, the checksums of all
    its files included: a killed process leaves either a whole checkpoint or none. The two newest are kept.

    All checkpoints are verified here, before anything is read from them. One that is damaged is set aside, as
    `damaged-STEP`, and a warning says so; `restore` then gives the newest of the others.

    Args:
        directory: of the checkpoints; made if it is not there.

    Raises:
        CheckpointError: if there are checkpoints but all are damaged, or the directory cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        _silence_what_is_reported_twice()
        self._directory = directory.resolve()
        with self._explaining("cannot open the checkpoints in"):
            processes.from_first(self._clean_up)
            options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, temporary_path_class=_SealedPath)
            self._manager = ocp.CheckpointManager(
                self._directory, options=options, item_handlers=ocp.StandardCheckpointHandler()
            )

    def save(self, step: int, state: object) -> None:
        """Starts writing the state; returns as soon as it is copied from the device.

        Raises:
            CheckpointError: if this checkpoint cannot be begun, or the one before could not be finished.
        """
        with self._explaining("cannot write a checkpoint to"):
            if step != self._manager.latest_step():
                self._manager.save(step, args=ocp.args.StandardSave(state))

    def latest_step(self) -> int | None:
        """The step of the newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def restore(self, state: State) -> State:
        """The newest whole checkpoint, in the structure, shapes, dtypes and placement of `state`.

        Raises:
            CheckpointError: if there is none, or it does not fit `state`.
        """
        step = self._manager.latest_step()
        if step is None:
            raise CheckpointError(f"there are no checkpoints in {self._directory}")
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        with self._explaining(f"cannot restore step {step} from"):
            saved, wanted = _arrays(self._manager.item_metadata(step)), _arrays(abstract)
            for name in sorted(saved.keys() | wanted.keys()):
                if saved.get(name) != wanted.get(name):
                    raise CheckpointError(
                        f"the checkpoint of step {step} in {self._directory} does not fit: {name} is "
                        f"{saved.get(name, 'missing')} in it, and {wanted.get(name, 'missing')} in this run"
                    )
            return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if processes.is_loss(error):
            return  # without the process that is lost, the checkpoint on its way never becomes whole
        try:
            with self._explaining("cannot write a checkpoint to"):
                try:
                    self._manager.wait_until_finished()
                finally:
                    self._manager.close()
        except CheckpointError:
            if not isinstance(error, CheckpointError):  # the one that is on its way says the same
                raise

    def _clean_up(self) -> None:
        self._set_damaged_aside()
        self._remove_unfinished()

    def _set_damaged_aside(self) -> None:
        steps = sorted(int(path.name) for path in self._directory.glob("*") if path.name.isdecimal())
        found = {step: checksums.find_damage(self._directory / str(step)) for step in steps}
        damaged = {step: damage for step, damage in found.items() if damage is not None}
        whole = [step for step in steps if step not in damaged]
        if damaged and not whole:
            listed = ", ".join(f"step {step} ({damage})" for step, damage in damaged.items())
            raise CheckpointError(f"all checkpoints in {self._directory} are damaged: {listed}")
        for step, damage in damaged.items():
            aside = self._directory / f"damaged-{step}"
            for number in count(2):
                if not aside.exists():
                    break
                aside = self._directory / f"damaged-{step}-{number}"
            (self._directory / str(step)).rename(aside)
            warnings.warn(
                f"the checkpoint of step {step} is damaged ({damage}): it is set aside as {aside}, and that of step "
                f"{whole[-1]} is used",
                stacklevel=3,
            )

    def _remove_unfinished(self) -> bool:
        """Removes what killed or failed writes have left; says whether there was anything."""
        unfinished = list(self._directory.glob(f"*{_UNFINISHED}*"))
        for path in unfinished:
            shutil.rmtree(path, ignore_errors=True)
        return bool(unfinished)

    def _remove_failed(self) -> None:
        """Removes a checkpoint of which one file could not be written.

        Orbax does not wait for the writes of the other files, and these make their directories anew: so this looks
        again, until half a second has brought nothing, and for ten seconds at most.
        """
        quiet = 0
        for _ in range(200):
            quiet = 0 if self._remove_unfinished() else quiet + 1
            if quiet == 10:
                break
            time.sleep(0.05)

    @contextmanager
    def _explaining(self, attempt: str) -> Iterator[None]:
        """Turns whatever exception Orbax or TensorStore has for what goes wrong with files into one line."""
        try:
            yield
        except (CheckpointError, ProcessesError):
            raise
        except Exception as error:
            if processes.is_first():
                self._remove_failed()
            raise CheckpointError(f"{attempt} {self._directory}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    code = getattr(error, "errno", None)
    if found := re.search(r"os_error_code='(\d+)'", str(error)):  # in the text of what TensorStore raises
        code = int(found[1])
    return os.strerror(code) if code else " ".join(str(error).split()) or type(error).__name__


@cache  # the hook is for the whole process
def _silence_what_is_reported_twice() -> None:
    """Keeps Orbax and TensorStore from printing the tracebacks of errors that they raise, too."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # below that, Orbax reports every file it touches as well
    previous = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        # When one write has failed, the others end after Orbax has closed the event loop that waited for them.
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            previous(unraisable)

    sys.unraisablehook = hook


def _arrays(tree: Any) -> dict[str, str]:
    """The name of each array in a tree -> its dtype and shape."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


class _SealedPath(ocp.path.atomicity.AtomicRenameTemporaryPath):
    """A checkpoint's temporary directory, which gets its checksums between Orbax's last word and the final name."""

    @classmethod
    def from_final(cls, final_path: Any, **options: Any) -> ocp.path.atomicity.AtomicRenameTemporaryPath:
        if _UNFINISHED in final_path.parent.name:  # for a part of a checkpoint; the whole is sealed at the end
            return ocp.path.atomicity.AtomicRenameTemporaryPath.from_final(final_path, **options)
        return super().from_final(final_path.with_name(f"{final_path.name}{_UNFINISHED}-unsealed"), **options)

    def get_final(self) -> Any:
        unsealed = super().get_final()
        return unsealed.with_name(unsealed.name.partition(_UNFINISHED)[0])

    async def finalize(self) -> None:
        await super().finalize()  # writes into the directory until it renames it
        unsealed = Path(super().get_final())
        checksums.seal(unsealed)
        os.rename(unsealed, self.get_final())
