"""Ctrl-C and SIGTERM as a wish to stop soon, not as an exception in the middle of something."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopRequest:
    """Notes SIGINT and SIGTERM while it is entered; a second one acts as it would without.

    Attributes:
        signal: the one that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> StopRequest:
        for number in self._previous:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
