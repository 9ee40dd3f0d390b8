"""The table behind `zoo list`: counted once for all registered models, and kept beside this file.

    python -m zoo.analysis.model_table

counts it anew, which takes a minute; a test fails where it is stale.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

_FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class TableRow:
    """A model in the table.

    Attributes:
        name: as `zoo.create_model` takes it.
        parameters: learnable scalars, counted.
        macs: multiply-accumulates for one image of that size, counted.
        input_size: height and width of the images, in pixels.
        top1: published accuracy in per cent, or None.
        paper: where it is described.
    """

    name: str
    parameters: int
    macs: int
    input_size: int
    top1: float | None
    paper: str


def read_table(pattern: str = "*") -> list[TableRow]:
    """The rows of the models that match a shell pattern, in the order of their names."""
    rows = (TableRow(**row) for row in json.loads(_FILE.read_text("utf-8")))
    return [row for row in rows if fnmatchcase(row.name, pattern)]


def count_row(name: str) -> TableRow:
    """Counts a model anew."""
    from flax import nnx

    import zoo
    from zoo.analysis.cost import cost_tree

    info = zoo.model_info(name)
    cost = cost_tree(nnx.eval_shape(lambda: zoo.create_model(name)), (info.input_size, info.input_size, 3))
    return TableRow(name, cost.parameters, cost.macs, info.input_size, info.top1, info.paper)


def main() -> None:
    """Writes the table of all models."""
    import zoo

    rows = [json.dumps(asdict(count_row(name))) for name in zoo.list_models()]
    _FILE.write_text("[\n" + ",\n".join(rows) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
