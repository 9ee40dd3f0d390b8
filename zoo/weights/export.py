"""Writing weights under the names and in the layouts of torchvision or timm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from flax import nnx

from zoo.weights.name_map import counters, name_maps, torch_tensors
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import variables, write_tensors


def export_weights(
    model: nnx.Module, path: str | os.PathLike[str], *, to: str, description: Mapping[str, Any] | None = None
) -> None:
    """Writes a safetensors file that the original net loads by `load_state_dict(..., strict=True)`.

    torchvision's MNASNet also asks for the version that `state_dict()._metadata` tells, which no file of tensors has:
    copy it from the net itself.

    Args:
        model: of a class that there is in both.
        path: of the file.
        to: "torchvision" or "timm".
        description: as `save_weights`.

    Raises:
        ValueError: if the model is not in that library.
    """
    maps = name_maps(model)
    if to not in maps:
        known = f"it is in {', '.join(maps)}" if maps else "no other library has it"
        raise ValueError(f"{to} has no such {type(model).__name__}; {known}")
    names = maps[to]
    values, places = variables(model), torch_tensors(model, names)
    tensors = {there.name: there.from_ours(np.asarray(values[ours][...])) for ours, there in places.items()}
    # PyTorch counts the batches that the running statistics have seen, which no layer of these nets makes use of.
    tensors |= {name: np.zeros((), np.int64) for name in counters(model, names)}
    write_tensors(path, tensors, {**(description or {}), "numerics": asdict(Numerics.of(model))}, format="pt")
