"""Ctrl-C and SIGTERM: before a run has begun they end the program, then they are a wish to stop soon."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal came while there was nothing to save. No error, so that no library takes it for one of its own."""


class StopRequest:
    """Catches SIGINT and SIGTERM while it is entered.

    At first, while the program imports what it needs, a signal ends the process at once: an exception would be
    printed by some libraries and misread by others. After `unwind` it raises `Stopped` wherever the program is. After
    `defer` it is only noted, so that a dispatch, an evaluation or a checkpoint is finished; then further ones change
    nothing. Outside of the main thread, where Python allows no handlers, it catches nothing.

    Args:
        program: its name, for messages.

    Attributes:
        signal: the one that came first, or None.
    """

    def __init__(self, program: str) -> None:
        self.signal: signal.Signals | None = None
        self._program = program
        self._is_importing = True
        self._is_deferred = False
        self._previous = {number: signal.getsignal(number) for number in _SIGNALS}

    @property
    def exit_status(self) -> int:
        """128 plus the number of the signal, as shells have it."""
        assert self.signal is not None
        return 128 + self.signal

    def unwind(self) -> None:
        """From now on signals are raised."""
        self._is_importing = False

    def announce(self) -> None:
        """Says that the run did not begin."""
        assert self.signal is not None
        line = f"{self._program}: stopped by {self.signal.name} before the run began; nothing was saved. "
        _write(line + "Start again with the same command.\n")

    def defer(self) -> None:
        """From now on signals are noted and no longer raised.

        Raises:
            Stopped: if there was one that a library has swallowed.
        """
        self._is_deferred = True
        if self.signal is not None:
            raise Stopped

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_first = self.signal is None
        if is_first:
            self.signal = signal.Signals(number)
        if self._is_deferred:
            again = "" if is_first else "already "
            _write(f"{signal.Signals(number).name}: {again}stopping after this dispatch, with a checkpoint\n")
        elif self._is_importing:
            self.announce()
            os._exit(self.exit_status)
        elif is_first:
            raise Stopped


def _write(line: str) -> None:
    os.write(2, line.encode())  # print() is not allowed to interrupt itself
