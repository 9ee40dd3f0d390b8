"""`zoo list`: the models there are."""

from __future__ import annotations

from typing import Annotated

import tyro

from zoo.analysis.model_table import read_table
from zoo.cli.format import count, print_table


def list_models(pattern: Annotated[str, tyro.conf.Positional] = "*") -> None:
    """Lists the models with their parameters, MACs, input size, published top-1 accuracy and paper.

    Args:
        pattern: of the names, such as "mobilenet*".
    """
    rows = read_table(pattern)
    if not rows:
        raise ValueError(f"no model matches {pattern!r}; `zoo list` shows them all")
    print_table(
        ["name", "parameters", "MACs", "input", "top-1", "paper"],
        [
            (
                row.name,
                f"{row.parameters:,}",
                count(row.macs),
                str(row.input_size),
                "" if row.top1 is None else f"{row.top1:.1f} %",
                row.paper.removeprefix("arXiv:"),
            )
            for row in rows
        ],
        right=("parameters", "MACs", "input", "top-1"),
    )
