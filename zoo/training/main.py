"""`train.py`: from the command line to the summary of the run, and what each way to fail looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo.training.command_line import load_run_config, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as the command line says.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0, 1 for a run that failed, 2 for a command that cannot be carried out, or 128 plus the
        number of the signal that stopped it.
    """
    command = parse(argv)
    from zoo.data.dataset import DataUnavailableError  # slow imports wait until the command is known to be right
    from zoo.training import metrics
    from zoo.training.console import summary
    from zoo.training.loop import NonFiniteLossError, train
    from zoo.training.run_directory import RunDirectory, RunDirectoryError
    from zoo.weights.checkpoint import find_checkpoint
    from zoo.weights.unavailable import WeightsUnavailableError

    config = command.config
    try:
        if config.model.weights is not None:
            find_checkpoint(config.model.weights)  # before there is a run that could not start
        if command.resume is None:
            run = RunDirectory.create(config)
        else:
            run = RunDirectory.reopen(command.resume, load_run_config(command.resume), config)
    except (RunDirectoryError, FileNotFoundError, WeightsUnavailableError, ValueError) as error:
        return _fail(str(error), 2)
    try:
        result = train(config, run)
    except (DataUnavailableError, WeightsUnavailableError, ValueError) as error:
        return _fail(str(error), 1)
    except NonFiniteLossError as error:
        return _fail(f"{error}; the checkpoints from before are in {run.checkpoints}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted before the end of a dispatch; nothing new was saved", 130)

    if result.stopped_by is not None:
        print(f"Stopped by {result.stopped_by.name} at step {result.step}. Go on with:")
        print(f"  python train.py --resume {run.root}")
        return 128 + result.stopped_by
    history = metrics.read(run.root)
    last = history[-1]
    summary(
        [
            ("test accuracy", f"{last.test_accuracy:.2%}"),
            ("test loss", f"{last.test_loss:.4f}"),
            ("epochs", f"{last.epoch}"),
            ("steps", f"{last.step}"),
            ("training speed", f"{last.images_per_second:.0f} images/s in the last epoch"),
            ("training time", f"{sum(epoch.seconds for epoch in history):.0f} s"),
            ("compilation", f"{result.compile_seconds:.0f} s"),
            ("model", f"{config.model.name}, {result.parameters:,} parameters"),
        ],
        [
            ("report", run.report),
            ("weights", run.weights),
            ("metrics", run.metrics),
            ("run directory", run.root),
        ],
    )
    return 0


def _fail(message: str, status: int) -> int:
    print(f"train.py: error: {message}", file=sys.stderr)
    return status
