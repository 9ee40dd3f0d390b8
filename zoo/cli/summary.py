"""`zoo summary`: what the modules of a model cost, and what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import tyro

from zoo.cli.format import count, figure, print_table

if TYPE_CHECKING:
    from zoo.analysis.cost import Cost
    from zoo.registry import ModelInfo


def summary(
    name: Annotated[str, tyro.conf.Positional], input: int | None = None, depth: int = 2, xla: bool = False
) -> None:
    """Shows the modules of a model as a tree: output shapes, receptive fields, parameters, MACs and their share.

    Args:
        name: of the model.
        input: height and width of the images; by default those of the published figures.
        depth: levels of the tree.
        xla: also compile it, and show what XLA counts.
    """
    import zoo

    info = zoo.model_info(name)
    size = info.input_size if input is None else input
    for option, value in (("--input", size), ("--depth", depth)):
        if value < 1:
            raise ValueError(f"{option} {value} must be at least 1")

    from flax import nnx

    from zoo.analysis.cost import cost_tree
    from zoo.analysis.receptive_field import receptive_fields

    model = nnx.eval_shape(lambda: zoo.create_model(name))
    cost = cost_tree(model, (size, size, 3))
    fields = {
        f"stage{number}": "x".join({str(axis.size): None for axis in field})  # once if both are the same
        for number, field in enumerate(receptive_fields(model, (size, size, 3)).values(), start=1)
        if field is not None
    }
    rows = [
        (
            "  " * indent + _label(node),
            "" if node.kind == "List" else node.kind,
            "x".join(map(str, node.output_shape or ())),
            fields.get(_label(node), ""),
            f"{node.parameters:,}",
            count(node.macs),
            f"{node.macs / max(1, cost.macs):.1%}",
        )
        for indent, node in _rows(cost, depth)
    ]
    numbers = ("receptive\nfield", "parameters", "MACs", "share")
    print_table(["module", "kind", "output", *numbers], rows, right=numbers)
    total = f"{cost.parameters:,} parameters, {count(cost.macs)} MACs, {count(cost.activations)} activations"
    print(f"\n{name} at {size}x{size}: {total}")
    print(f"published at {info.input_size}x{info.input_size}: {_published(info)}")
    if xla:
        from zoo.analysis.xla import xla_cost

        counted = xla_cost(model, (size, size, 3))
        traffic, memory = count(counted.bytes_accessed or 0), count(counted.temporary_bytes)
        print(f"XLA: {count(counted.flops or 0)} operations, {traffic}B accessed, {memory}B of temporary memory")


def _published(info: ModelInfo) -> str:
    figures = [f"{figure(info.parameters)} parameters"]
    if info.macs is not None:
        figures.append(f"{figure(info.macs)} MACs")
    if info.top1 is not None:
        figures.append(f"top-1 {info.top1:.1f} %")
    if info.mean_iou is not None:
        figures.append(f"mIoU {info.mean_iou:.1f} % of {info.mean_iou_of}")
    return f"{', '.join(figures)} ({info.paper})"


def _rows(node: Cost, depth: int, indent: int = 0) -> list[tuple[int, Cost]]:
    """The tree row by row, without what costs nothing."""
    rows = []
    for child in node.children:
        # A list of modules, such as the layers of a sequence, is no level of its own; a stage in a list of stages is.
        members = child.children if child.kind == "List" and node.kind != "List" else [child]
        for member in members:
            if member.parameters or member.macs:
                rows.append((indent, member))
                rows += _rows(member, depth - 1, indent + 1) if depth > 1 else []
    return rows


def _label(node: Cost) -> str:
    """The name of a module in the one it is in: `stage1` for the first list of `stages`, as `features` has it."""
    if node.path[-2:-1] == ("stages",):
        return f"stage{int(node.path[-1]) + 1}"
    return str(node.path[-1])
