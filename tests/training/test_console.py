from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from zoo.training.console import Display, summary
from zoo.training.metrics import EpochMetrics

METRICS = EpochMetrics(10, 1, 0.1, 1.25, 0.5, 0.75, 0.625, 1234.0, 3.0)


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


def test_a_resumed_run_starts_where_it_stopped():
    console = Console(file=StringIO(), width=80)
    with Display(40, 10, start_step=20, console=console) as display:
        display.update(21, 1.0, 0.5, 10.0)
    assert "epoch 3/4  step 21/40" in console.file.getvalue()


def test_the_summary_never_breaks_a_path_outside_a_terminal():
    path = Path("/a") / ("long" * 60) / "report.png"
    console = Console(file=StringIO(), width=80)
    summary([("test accuracy", "[bold]99 %")], [("report", path)], console)
    text = console.file.getvalue()
    assert str(path) in text
    assert "[bold]99 %" in text
    assert "\x1b" not in text
