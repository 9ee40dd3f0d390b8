"""The command `zoo`: what there is, what it costs, and what to do with weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from zoo.cli.convert import convert
from zoo.cli.list import list_models
from zoo.cli.predict import predict
from zoo.cli.summary import summary
from zoo.weights.unavailable import WeightsUnavailableError

_COMMANDS: dict[str, Callable[..., Any]] = {
    "list": list_models,
    "summary": summary,
    "convert": convert,
    "predict": predict,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments after the program's name; None for those of this process.

    Returns:
        The exit status: 0, 1 for a command that was carried out in part, or 2 after one line on stderr for one that
        cannot be carried out.
    """
    try:
        status = tyro.extras.subcommand_cli_from_dict(_COMMANDS, prog="zoo", args=argv, description=__doc__)
    except (ValueError, OSError, WeightsUnavailableError) as error:
        print(f"zoo: error: {error}", file=sys.stderr)
        return 2
    return status or 0
