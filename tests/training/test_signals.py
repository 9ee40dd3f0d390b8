from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from zoo.training.signals import Stopped, StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_there_is_nothing_to_save_of(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with StopRequest("train.py") as stop:
        stop.unwind()
        assert stop.signal is None
        with pytest.raises(Stopped):
            signal.raise_signal(number)
        assert stop.signal is number
        signal.raise_signal(number)  # while the first one unwinds
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_once_deferred_it_is_noted_and_a_second_one_changes_nothing(number, capfd):
    with StopRequest("train.py") as stop:
        stop.defer()
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGINT)
        assert stop.signal is number
    first, second = capfd.readouterr().err.splitlines()
    assert first == f"{number.name}: stopping after this dispatch, with a checkpoint"
    assert second == "SIGINT: already stopping after this dispatch, with a checkpoint"


def test_one_that_a_library_swallowed_is_found_before_the_run_begins():
    with StopRequest("train.py") as stop:
        stop.unwind()
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.defer()


def test_outside_of_the_main_thread_nothing_is_caught():
    before = [signal.getsignal(each) for each in SIGNALS]

    def enter():
        with StopRequest("train.py"):
            assert [signal.getsignal(each) for each in SIGNALS] == before

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
