"""The command `zoo`: what there is, what it costs, training, and what to do with weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from zoo.messages import fail, warn_in_one_line


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0, 1 for a command that was carried out in part, or 2 after one line on stderr for one that
        cannot be carried out; that of `zoo.training.main` for `zoo train`.
    """
    is_this_process = argv is None
    argv = sys.argv[1:] if argv is None else [*argv]
    if argv == ["--version"]:
        import zoo

        print(f"zoo {zoo.__version__}")
        return 0
    if find_spec("tyro") is None:
        return fail("zoo", 'the commands need what comes with `pip install "conv-zoo[train]"`', 2)
    if argv[:1] in (["train"], ["tune"]) and is_this_process:
        from zoo.training.huge_pages import restart_with_huge_pages

        restart_with_huge_pages()
    if argv[:1] == ["train"]:
        from zoo.training.main import main as train

        return train(argv[1:], program="zoo train")

    import tyro

    from zoo.data.dataset import DataUnavailableError
    from zoo.options import OPTIONS
    from zoo.weights.unavailable import WeightsUnavailableError

    warn_in_one_line("zoo")
    try:
        status = tyro.extras.subcommand_cli_from_dict(
            _commands(), prog="zoo", args=argv, description=__doc__, registry=OPTIONS
        )
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when the process ends
        return 1
    except (ValueError, OSError, DataUnavailableError, WeightsUnavailableError) as error:
        return fail("zoo", str(error), 2)
    return status or 0


def _commands() -> dict[str, Callable[..., Any]]:
    from zoo.cli.compare import compare
    from zoo.cli.convert import convert
    from zoo.cli.evaluate import evaluate
    from zoo.cli.export import export
    from zoo.cli.list import list_models
    from zoo.cli.predict import predict
    from zoo.cli.segment import segment
    from zoo.cli.summary import summary
    from zoo.cli.tune import tune

    return {
        "train": _train,
        "tune": tune,
        "list": list_models,
        "summary": summary,
        "convert": convert,
        "export": export,
        "predict": predict,
        "segment": segment,
        "eval": evaluate,
        "compare": compare,
    }


def _train() -> None:
    """Trains a model, as `train.py` does; see `zoo train --help`."""
