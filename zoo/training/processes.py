"""The processes of a run: how they begin together, who of them writes, and how they agree.

A run on several hosts is the same program in each of them, and each makes the same dispatches in the same order. So
whatever only one process can know, such as a signal, the clock or whether a directory could be made, all have to hear
of before they act on it. A run of one process goes through the same functions, which then exchange nothing.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")

_LONGEST_MESSAGE = 1000  # bytes that a process can tell the others of what is wrong with it


class ProcessesError(Exception):
    """The processes of a run cannot begin together, do not fit together, or one has failed; all of them know."""


class ProcessLostError(Exception):
    """An exchange has failed because a process did not take part in it; only this one is known to be alive."""


def begin(coordinator_address: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the other processes of the run; to be called before anything else asks JAX for devices.

    Args:
        coordinator_address: HOST:PORT of process 0; None, as for the others, for what JAX finds in the environment.
        num_processes: how many there are.
        process_id: number of this one, from 0.

    Raises:
        ProcessesError: if JAX does not find what is not given, or the others do not come.
    """
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    try:
        jax.distributed.initialize(coordinator_address, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        raise ProcessesError(
            f"the processes cannot begin together: {' '.join(str(error).split())}; what JAX does not find in the "
            "environment is given by --distributed.coordinator-address, --distributed.num-processes and "
            "--distributed.process-id"
        ) from error


def is_first() -> bool:
    """Whether this is the process that prints and writes; only checkpoints are written by all."""
    return jax.process_index() == 0


def together(action: Callable[[], T]) -> T:
    """What `action` gives in this process, once it has succeeded in all of them.

    Raises:
        ProcessesError: where it was another process in which it failed. Its own errors arrive as they are.
    """
    if jax.process_count() == 1:
        return action()
    error: Exception | None = None
    try:
        result = action()
    except Exception as raised:
        error = raised
    message = "" if error is None else str(error) or type(error).__name__
    padded = np.frombuffer(message.encode()[:_LONGEST_MESSAGE].ljust(_LONGEST_MESSAGE, b"\0"), np.uint8)
    messages = multihost_utils.process_allgather(padded)
    if error is not None:
        raise error
    for process, row in enumerate(messages):
        if row.any():
            text = row.tobytes().rstrip(b"\0").decode(errors="replace")
            raise ProcessesError(f"process {process} has failed: {text}")
    return result


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` gives in the first process, and JSON can hold, in all of them; it may fail as `together` does."""
    if jax.process_count() == 1:
        return make()
    made = together(lambda: json.dumps(make()) if is_first() else "")
    encoded = np.frombuffer(made.encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(encoded))))
    padded = encoded if is_first() else np.zeros(size, np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes())


def check_alike(values: Mapping[str, Any]) -> None:
    """Raises ProcessesError in all processes if the values, of what JSON holds, are not those of the first one."""
    own = json.loads(json.dumps(values))
    first = from_first(lambda: own)

    def compare() -> None:
        differing = [
            f"{name} is {own[name]!r}, and {first[name]!r} in process 0" for name in own if own[name] != first[name]
        ]
        if differing:
            raise ProcessesError(f"on {socket.gethostname()}, {'; '.join(differing)}")

    together(compare)


def agree(signal: int, steps: int) -> tuple[int, int]:
    """What every process does next: stop for the first signal that any has got, or make the steps of the first.

    Args:
        signal: that this process has got, or 0.
        steps: that this process would make.

    Returns:
        The signal, or 0, and the steps.
    """
    if jax.process_count() == 1:
        return signal, steps
    wishes = multihost_utils.process_allgather(np.array([signal, steps], np.int32))
    return int(wishes[:, 0].max()), int(wishes[0, 1])


def is_loss(error: BaseException | None) -> bool:
    """Whether an error is that of an exchange in which another process did not take part."""
    # Some of them arrive as a ValueError, with the status of the runtime in the text.
    statuses = ("UNKNOWN: ", "INTERNAL: ", "UNAVAILABLE: ", "DEADLINE_EXCEEDED: ", "ABORTED: ", "CANCELLED: ")
    of_runtime = isinstance(error, jax.errors.JaxRuntimeError) or str(error).startswith(statuses)
    return of_runtime and jax.process_count() > 1


@contextmanager
def exchanging() -> Iterator[None]:
    """Raises ProcessLostError instead of what the runtime raises when another process does not take part any more."""
    try:
        yield
    except Exception as error:
        if not is_loss(error):
            raise
        raise ProcessLostError(
            "an exchange with the other processes has failed, most likely because one of them has ended; what is in "
            f"the last checkpoint is saved, and --resume goes on from it ({' '.join(str(error).split())})"
        ) from error


def leave(status: int) -> NoReturn:
    """Ends this process at once: what JAX does at the end of a program would wait for the others, and they for this."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
