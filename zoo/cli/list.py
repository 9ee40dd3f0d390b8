"""`zoo list`: the models there are, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from zoo.cli.format import figure, print_table
from zoo.task_names import TaskName


def list_models(
    pattern: Annotated[str, tyro.conf.Positional] = "*",
    task: TaskName | None = None,
    weights: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Lists the models with their published figures: parameters, MACs, input size, accuracy and paper.

    Args:
        pattern: of the names of models, such as "mobilenet*".
        task: only the models of this task.
        weights: list the weights there are for these models instead, by the names that `weights` takes.
    """
    import zoo

    names = zoo.list_models(pattern, task=task)
    if not names:
        of_task = f" is for {task} and" if task else ""
        raise ValueError(f"no model{of_task} matches {pattern!r}; `zoo list` shows them all")
    if weights:
        _list_weights(names)
        return
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


def _list_weights(models: Sequence[str]) -> None:
    from zoo.published import TorchvisionWeights
    from zoo.registry import published_weights
    from zoo.weights import packaged
    from zoo.weights.checkpoint import find_checkpoint, model_of

    rows = [(name, model_of(find_checkpoint(name), None), "come with zoo") for name in packaged.names()]
    for model, published in published_weights():
        if isinstance(published, TorchvisionWeights):
            rows.append((f"torchvision/{published.name}", model, "are fetched from torchvision's address"))
        else:
            rows.append((f"timm/{published.architecture}.*", model, "are fetched from timm's, any set of them"))
    rows = [row for row in rows if row[1] in models]
    if not rows:
        raise ValueError(f"there are no weights for {', '.join(models)}")
    print_table(("weights", "model", "which"), rows)
    for name, _, _ in rows:
        if name in packaged.names():
            print(f"model card of {name}: {packaged.find(name).with_suffix('.md')}")
