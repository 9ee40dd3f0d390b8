"""What a run shows while it trains, and the summary at its end.

In a terminal that is a progress bar with a permanent line above it for each epoch. Elsewhere (a pipe, a log file) it is
plain lines: one an epoch, and one every ten seconds in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType

import rich
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from zoo.training.metrics import EpochMetrics, words

_PLAIN_INTERVAL = 10.0  # seconds between plain lines
_ETA_PERIOD = 300.0  # seconds over which the ETA averages: long enough to include evaluations


class Display:
    """Shows how far a run is; a context manager.

    Args:
        total_steps: of the whole run.
        steps_per_epoch: training steps in an epoch.
        start_step: where this process starts; more than 0 in a run that is resumed.
        console: where to show it; the standard output if None.
    """

    def __init__(
        self, total_steps: int, steps_per_epoch: int, start_step: int = 0, console: Console | None = None
    ) -> None:
        self._console = rich.get_console() if console is None else console
        self._live = self._console.is_interactive
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._epochs = -(-total_steps // steps_per_epoch)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),  # leaves the first update out of its estimate, and with it the compilation
            console=self._console,
            disable=not self._live,
            expand=True,
            transient=True,
            speed_estimate_period=_ETA_PERIOD,
        )
        epoch = min(self._epochs, start_step // steps_per_epoch + 1)
        self._task = self._progress.add_task(
            self._epoch_name(epoch), total=total_steps, completed=start_step, figures="starting"
        )
        self._speed_from: tuple[int, float] | None = None  # step and time since which steps/s is measured
        self._last_plain: float | None = None

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, step: int, loss: float, accuracy: float, images_per_second: float) -> None:
        """Shows where training is; to be called about once a second.

        Args:
            step: training steps done since the start of the run.
            loss, accuracy: means over the epoch so far; accuracy is from 0 to 1.
            images_per_second: training speed.
        """
        now = self._progress.get_time()
        figures = f"loss {loss:.3f}, {accuracy:.2%}"
        if self._speed_from is None:  # these steps may have waited for the compiler
            self._speed_from = (step, now)
        elif now > self._speed_from[1]:
            steps_per_second = (step - self._speed_from[0]) / (now - self._speed_from[1])
            figures += f"  {steps_per_second:.2f} steps/s"
        figures += f"  {images_per_second:.0f} images/s"
        name = self._epoch_name(-(-step // self._steps_per_epoch))
        self._progress.update(self._task, completed=step, description=name, figures=figures)

        # The last step of an epoch gets no line: that of the epoch follows.
        due = self._last_plain is None or now - self._last_plain >= _PLAIN_INTERVAL
        if not self._live and due and step % self._steps_per_epoch:
            self._last_plain = now
            remaining = self._progress.tasks[0].time_remaining
            eta = "" if remaining is None else f"  ETA {timedelta(seconds=remaining)}"
            self.message(f"{name}  step {step}/{self._total_steps}  {figures}{eta}")

    def epoch(self, metrics: EpochMetrics) -> None:
        """Prints the line of an epoch that is finished and evaluated."""
        now = self._progress.get_time()
        self._speed_from = (metrics.step, now)  # evaluation does not count towards the training speed
        self._last_plain = now
        more = "".join(f", {words(name).removeprefix('test ')} {value:.2%}" for name, value in metrics.more.items())
        self.message(
            f"{self._epoch_name(metrics.epoch)}  train loss {metrics.train_loss:.3f}, {metrics.train_accuracy:.2%}"
            f"  test loss {metrics.test_loss:.3f}, {metrics.test_accuracy:.2%}{more}"
            f"  {metrics.images_per_second:.0f} images/s"
        )

    def message(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        say(text, self._console)

    def _epoch_name(self, epoch: int) -> str:
        return f"epoch {epoch:{len(str(self._epochs))}}/{self._epochs}"


def say(text: str, console: Console | None = None) -> None:
    """Prints a line as it is, to the standard output if there is no console."""
    (console or rich.get_console()).print(text, markup=False, highlight=False, soft_wrap=True)


def summary(rows: Sequence[tuple[str, str]], paths: Sequence[tuple[str, Path]], console: Console | None = None) -> None:
    """Prints the results of a run as a table.

    Args:
        rows: names and figures.
        paths: names and places of the files that were written. Outside a terminal a path is never broken.
        console: where to print; the standard output if None.
    """
    console = rich.get_console() if console is None else console
    table = Table(box=box.ROUNDED if console.is_terminal else None, show_header=False, highlight=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, figure in rows:
        table.add_row(Text(name), Text(figure))  # as Text, so that brackets are not read as markup
    table.add_section()
    for name, path in paths:
        table.add_row(Text(name), Text(str(path)))
    if not console.is_terminal:
        unlimited = console.options.update(width=100_000)
        table.width = console.measure(table, options=unlimited).maximum
    console.print(table, crop=False)
