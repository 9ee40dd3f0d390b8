"""`zoo convert`: weights trained here, for PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def convert(
    source: Annotated[str, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    to: Literal["torchvision", "timm"],
    model: str | None = None,
) -> None:
    """Writes weights under the names of torchvision or timm, whose load_state_dict(strict=True) takes them.

    Args:
        source: directory of a run, a file of weights, or zoo/NAME, torchvision/NAME or timm/NAME.
        out: the safetensors file to write.
        to: the library whose names and layouts it gets.
        model: name of the model, where the weights do not tell.
    """
    import zoo
    from zoo.weights.checkpoint import find_checkpoint, model_of
    from zoo.weights.export import export_weights

    checkpoint = find_checkpoint(source)
    name = model_of(checkpoint, model)
    said = checkpoint.description
    export_weights(zoo.create_model(name, weights=checkpoint), out, to=to, description=said)
    print(f"{out}: {name} for {to}")
    if said.get("options", {}).get("small_images"):
        print(f"It was trained in the 32x32 form: for the same numbers, set the first strides of {to}'s net to 1.")
