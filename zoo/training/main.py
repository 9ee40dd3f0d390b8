"""`train.py` and `zoo train`: from the command line to the summary of the run, and what each way to fail looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from zoo.messages import fail, warn_in_one_line
from zoo.training.signals import StopRequest

if TYPE_CHECKING:
    from pathlib import Path

    from zoo.training.command_line import Command
    from zoo.training.config import TrainConfig
    from zoo.training.experiment import Experiment
    from zoo.training.run_directory import RunDirectory


def main(argv: Sequence[str] | None = None, *, program: str = "train.py") -> int:
    """Trains as the command line says.

    A process of several that fails alone does not return: it ends at once, so that the others notice.

    Args:
        argv: the arguments after the program's name; None for those of this process.
        program: its name, for messages.

    Returns:
        The exit status: 0, 1 for a run that failed, 2 for a command that cannot be carried out, or 128 plus the
        number of the signal that stopped it.
    """
    warn_in_one_line(program)
    with StopRequest(program) as stop:
        is_joined = False
        try:
            from zoo.training.command_line import parse

            command = parse(argv, program)
            stop.unwind()
            if command.is_distributed:
                program, is_joined = _join(command, program), True
            prepared = _prepare(command, program)
            stop.defer()
        except BaseException:
            if stop.signal is None:
                raise
            stop.announce()
            return _end_alone(stop.exit_status) if is_joined else stop.exit_status
        return prepared if isinstance(prepared, int) else _run(*prepared, program, stop)


def _join(command: Command, program: str) -> str:
    """Joins the other processes of the run; gives the name of this one, for messages."""
    import jax
    import rich

    from zoo.training import processes

    try:
        processes.begin(**asdict(command.cluster))
    except processes.ProcessesError as error:
        raise SystemExit(fail(program, str(error), 2)) from error
    if processes.is_first():
        return program
    rich.reconfigure(quiet=True)  # what is to be seen, the first process shows
    program = f"{program} (process {jax.process_index()})"
    warn_in_one_line(program)
    return program


def _prepare(command: Command, program: str) -> tuple[Experiment, Path | None, TrainConfig | None] | int:
    """The experiment that is asked for, with the directory and the config of the run that it continues, if it does.

    An exit status if there can be no such experiment.
    """
    from zoo.data.dataset import DataUnavailableError  # slow imports wait until the command is known to be right
    from zoo.training import processes
    from zoo.training.command_line import load_run_config
    from zoo.training.experiment import build
    from zoo.training.run_directory import RunDirectory, RunDirectoryError, check_resumable
    from zoo.training.tuning import find_lowerings
    from zoo.weights.unavailable import WeightsUnavailableError

    def prepare() -> tuple[Experiment, TrainConfig | None]:
        if command.resume is None:
            return build(command.config), None
        run, saved = RunDirectory(command.resume), load_run_config(command.resume)
        check_resumable(run.root, saved, command.config)
        experiment = build(command.config, run.start_weights_before())
        run.check_data(experiment.data_identity)
        return replace(experiment, lowerings=run.lowerings_before()), saved

    try:
        with processes.exchanging():
            experiment, saved = processes.together(prepare)
            processes.check_alike(experiment.identity)
            if command.resume is None:
                experiment = replace(experiment, lowerings=find_lowerings(experiment, tune=command.tune))
        return experiment, command.resume, saved
    except (
        DataUnavailableError, processes.ProcessesError, RunDirectoryError, WeightsUnavailableError, OSError, ValueError
    ) as error:  # fmt: skip
        return fail(program, str(error), 2)
    except processes.ProcessLostError as error:
        return _end_alone(fail(program, str(error), 2))


def _run(
    experiment: Experiment, resume: Path | None, saved: TrainConfig | None, program: str, stop: StopRequest
) -> int:
    from zoo.data.dataset import DataUnavailableError
    from zoo.training import processes
    from zoo.training.checkpoint import CheckpointError
    from zoo.training.loop import NonFiniteLossError
    from zoo.training.run_directory import RunDirectory, RunDirectoryError, open_together
    from zoo.training.run_lock import RunInUseError

    config = experiment.config
    opening = RunDirectory.create(config) if resume is None else RunDirectory.reopen(resume, config.checkpoint_every)
    try:
        with processes.exchanging(), open_together(opening) as run:
            return _train(experiment, run, saved, program, stop)
    except (processes.ProcessesError, RunDirectoryError, RunInUseError) as error:
        return fail(program, str(error), 2)
    except (CheckpointError, DataUnavailableError, processes.ProcessLostError, OSError, ValueError) as error:
        return _end_alone(fail(program, str(error), 1))
    except NonFiniteLossError as error:
        return fail(program, f"{error}; the checkpoints from before are in {run.checkpoints}", 1)


def _end_alone(status: int) -> int:
    """The status, if there are no other processes that would wait for this one."""
    import jax

    from zoo.training import processes

    if jax.process_count() > 1:
        processes.leave(status)
    return status


def _train(
    experiment: Experiment, run: RunDirectory, saved: TrainConfig | None, program: str, stop: StopRequest
) -> int:
    from zoo.training import metrics, processes
    from zoo.training.console import say, summary
    from zoo.training.loop import train

    for line in (*experiment.describe(), f"run directory: {run.root}"):
        say(line)
    result = train(experiment, run, stop, saved)
    if not processes.is_first():
        return 0 if result.stopped_by is None else 128 + result.stopped_by
    if result.stopped_by is not None:
        print(f"Stopped by {result.stopped_by.name} at step {result.step}, which is saved. Go on with:")
        print(f"  {program if program != 'train.py' else 'python train.py'} --resume {run.root}")
        return 128 + result.stopped_by
    history = metrics.read(run.root)
    last = history[-1]
    summary(
        [
            ("test accuracy", f"{last.test_accuracy:.2%}"),
            *((metrics.words(name), f"{value:.2%}") for name, value in last.more.items()),
            ("test loss", f"{last.test_loss:.4f}"),
            ("epochs", f"{last.epoch}"),
            ("steps", f"{last.step}"),
            ("training speed", f"{last.images_per_second:.0f} images/s in the last epoch"),
            ("training time", f"{sum(epoch.seconds for epoch in history):.0f} s"),
            ("compilation", f"{result.compile_seconds:.0f} s"),
            ("model", f"{experiment.config.model.name}, {experiment.parameters:,} parameters"),
        ],
        [
            ("report", run.report),
            ("weights", run.weights),
            ("metrics", run.metrics),
            ("run directory", run.root),
        ],
    )
    return 0
