"""`zoo compare`: what sets runs apart, and what they reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def compare(runs: Annotated[tuple[Path, ...], tyro.conf.Positional], picture: Path | None = None) -> None:
    """Shows in which fields the configs of runs differ, and their results, in a column each.

    Args:
        runs: directories of two runs or more.
        picture: a PNG file to draw their curves into, on common axes.
    """
    if len(runs) < 2:
        raise ValueError(f"there must be two runs or more to compare, not {len(runs)}")

    from zoo.cli.format import print_table
    from zoo.training.comparison import compare_runs, draw_curves

    comparison = compare_runs(runs)
    rows = [(name, *map(str, values)) for name, values in comparison.differences.items()]
    rows += [(name, *values) for name, values in comparison.results.items()]
    print_table(("", *comparison.names), rows, right=comparison.names)
    if picture is not None:
        draw_curves(picture, comparison)
