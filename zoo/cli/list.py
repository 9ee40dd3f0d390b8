"""`zoo list`: the models there are."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro

from zoo.cli.format import figure, print_table


def list_models(
    pattern: Annotated[str, tyro.conf.Positional] = "*", task: Literal["classification", "segmentation"] | None = None
) -> None:
    """Lists the models with their published figures: parameters, MACs, input size, accuracy and paper.

    Args:
        pattern: of the names, such as "mobilenet*".
        task: only the models of this task.
    """
    import zoo

    names = zoo.list_models(pattern, task=task)
    if not names:
        of_task = f" is for {task} and" if task else ""
        raise ValueError(f"no model{of_task} matches {pattern!r}; `zoo list` shows them all")
    infos = [(name, zoo.model_info(name)) for name in names]
    print_table(
        ["name", "task", "parameters", "MACs", "input", "top-1", "mIoU", "paper"],
        [
            (
                name,
                info.task,
                figure(info.parameters),
                "" if info.macs is None else figure(info.macs),
                str(info.input_size),
                "" if info.top1 is None else f"{info.top1:.1f} %",
                "" if info.mean_iou is None else f"{info.mean_iou:.1f} % of {info.mean_iou_of}",
                info.paper.removeprefix("arXiv:"),
            )
            for name, info in infos
        ],
        right=("parameters", "MACs", "input", "top-1", "mIoU"),
    )
