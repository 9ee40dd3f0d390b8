from __future__ import annotations

import signal

import pytest

from zoo.training.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_acts(number):
    def act(number, frame):
        raise InterruptedError(number)

    previous = signal.signal(number, act)
    try:
        with StopRequest() as stop:
            assert stop.signal is None
            signal.raise_signal(number)
            assert stop.signal is number
            with pytest.raises(InterruptedError):
                signal.raise_signal(number)
        assert signal.getsignal(number) is act
    finally:
        signal.signal(number, previous)
