"""Writing weights under the names and in the layouts of torchvision or timm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from flax import nnx

from zoo.blocks.fusion import FoldedNorm
from zoo.weights.name_map import counters, name_maps, torch_tensors
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import variables, write_tensors


def export_weights(
    model: nnx.Module, path: str | os.PathLike[str], *, to: str, description: Mapping[str, Any] | None = None
) -> None:
    """Writes a safetensors file that the original net loads by `load_state_dict(..., strict=True)`.

    torchvision's MNASNet also asks for the version in `state_dict()._metadata`, which files of tensors lack: copy it
    from the net itself.

    Args:
        model: of a class that both libraries have.
        path: of the file.
        to: "torchvision" or "timm".
        description: as `save_weights`.

    Raises:
        ValueError: if the model is not in that library, or comes from `zoo.fuse`.
    """
    if any(isinstance(module, FoldedNorm) for _, module in nnx.iter_modules(model)):
        raise ValueError(f"{to} has the batch norms that zoo.fuse has folded; export the model that was given to it")
    maps = name_maps(model)
    if to not in maps:
        known = f"it is in {', '.join(maps)}" if maps else "no other library has it"
        raise ValueError(f"{to} has no {type(model).__name__} of this form; {known}")
    names = maps[to]
    values, places = variables(model), torch_tensors(model, names)
    tensors = {there.name: there.from_ours(np.asarray(values[ours][...])) for ours, there in places.items()}
    tensors |= names.fixed
    # PyTorch counts the batches that the running statistics have seen, which no layer of these nets uses.
    tensors |= {name: np.zeros((), np.int64) for name in counters(model, names)}
    write_tensors(path, tensors, {**(description or {}), "numerics": asdict(Numerics.of(model))}, format="pt")
