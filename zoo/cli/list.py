"""`zoo list`: the models there are."""

from __future__ import annotations

from typing import Annotated

import tyro

from zoo.cli.format import figure, print_table


def list_models(pattern: Annotated[str, tyro.conf.Positional] = "*") -> None:
    """Lists the models with their published figures: parameters, MACs, input size, top-1 accuracy and paper.

    Args:
        pattern: of the names, such as "mobilenet*".
    """
    import zoo

    names = zoo.list_models(pattern)
    if not names:
        raise ValueError(f"no model matches {pattern!r}; `zoo list` shows them all")
    infos = [(name, zoo.model_info(name)) for name in names]
    print_table(
        ["name", "parameters", "MACs", "input", "top-1", "paper"],
        [
            (
                name,
                figure(info.parameters),
                "" if info.macs is None else figure(info.macs),
                str(info.input_size),
                "" if info.top1 is None else f"{info.top1:.1f} %",
                info.paper.removeprefix("arXiv:"),
            )
            for name, info in infos
        ],
        right=("parameters", "MACs", "input", "top-1"),
    )
