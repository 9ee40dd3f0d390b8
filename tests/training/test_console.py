from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from zoo.training.console import Display, summary
from zoo.training.metrics import EpochMetrics

METRICS = EpochMetrics(10, 1, 0.1, 1.25, 0.5, 0.75, 0.625, 1234.0, 3.0)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Rich goes by these; a test must not depend on where it runs."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def show(console: Console) -> str:
    with Display(20, 10, console=console) as display:
        for step in (1, 5, 10):
            display.update(step, 1.5, 0.25, 1000.0)
        display.epoch(METRICS)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_without_a_terminal_there_are_plain_whole_lines():
    text = show(Console(file=StringIO(), width=40))
    assert "\x1b" not in text
    first, epoch = text.splitlines()
    assert "epoch 1/2  step 1/20  loss 1.500, 25.00%" in first
    assert epoch == "epoch 1/2  train loss 1.250, 50.00%  test loss 0.750, 62.50%  1234 images/s"


def test_in_a_terminal_there_is_a_bar_and_a_line_an_epoch():
    text = show(Console(file=StringIO(), force_terminal=True, width=160))
    assert "━" in text
    assert "images/s" in text
    assert "test loss 0.750, 62.50%" in text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    text = show(Console(file=StringIO(), force_terminal=True, width=160))
    assert "\x1b" not in text
    first, epoch = text.splitlines()
    assert "step 1/20" in first
    assert "test loss 0.750" in epoch


def test_plain_lines_are_ten_seconds_apart_and_the_rate_leaves_out_the_compilation():
    now = 0.0
    console = Console(file=StringIO(), get_time=lambda: now)
    with Display(1000, 500, console=console) as display:
        now = 100.0  # 1 step, compilation included
        display.update(1, 1.0, 0.5, 32.0)
        for now in range(101, 131):  # 2 steps a second
            display.update(1 + 2 * (now - 100), 1.0, 0.5, 64.0)
    first, *lines = console.file.getvalue().splitlines()
    assert "steps/s" not in first
    assert "ETA" not in first
    assert [line.split("  ", 2)[1] for line in lines] == ["step 21/1000", "step 41/1000", "step 61/1000"]
    assert lines[0].endswith("2.00 steps/s  64 images/s  ETA 0:08:10")  # (1000 - 21) / 2 s


def test_evaluation_counts_in_the_eta_but_not_in_the_training_speed():
    now = 0.0
    console = Console(file=StringIO(), get_time=lambda: now)
    with Display(30, 10, console=console) as display:
        display.update(1, 1.0, 0.5, 1.0)
        now = 11.0
        display.update(10, 1.0, 0.5, 1.0)  # prints nothing: the epoch's line comes next
        now = 21.0  # after 10 s of evaluation
        display.epoch(METRICS)
        now = 31.0
        display.update(19, 1.0, 0.5, 1.0)
    _, epoch, last = console.file.getvalue().splitlines()
    assert "test loss" in epoch
    # Since the first update: 18 steps in 31 s; 11 steps remain.
    assert last.endswith("0.90 steps/s  1 images/s  ETA 0:00:19")


def test_updates_without_progress_or_time_between_them_are_no_error():
    console = Console(file=StringIO(), get_time=lambda: 5.0)
    with Display(10, 10, console=console) as display:
        for step in (1, 1, 2, 9, 10):
            display.update(step, float("nan"), 0.0, 0.0)
    assert "loss nan" in console.file.getvalue()


def test_a_message_is_printed_as_it_is():
    console = Console(file=StringIO(), width=20)
    text = "[bold] is no markup, and a long line stays one"
    with Display(10, 10, console=console) as display:
        display.message(text)
    assert console.file.getvalue() == text + "\n"


def test_a_resumed_run_starts_where_it_stopped():
    console = Console(file=StringIO(), width=80)
    with Display(40, 10, start_step=20, console=console) as display:
        display.update(21, 1.0, 0.5, 10.0)
    assert "epoch 3/4  step 21/40" in console.file.getvalue()


@pytest.mark.parametrize("start_step", [0, 20])
def test_the_bar_starts_where_the_run_starts(start_step):
    console = Console(file=StringIO(), width=80, force_terminal=True, no_color=True)
    with Display(40, 10, start_step, console=console):
        pass
    assert ("━" in console.file.getvalue()) == (start_step > 0)  # without colours only what is done is drawn


def test_the_summary_never_breaks_a_path_outside_a_terminal():
    path = Path("/a") / ("long" * 60) / "report.png"
    console = Console(file=StringIO(), width=80)
    summary([("test accuracy", "[bold]99 %")], [("report", path)], console)
    text = console.file.getvalue()
    assert str(path) in text
    assert "[bold]99 %" in text
    assert "\x1b" not in text
