"""Weights of a model as a safetensors file, under the names of its modules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

_WEIGHTS = (nnx.Param, nnx.BatchStat)


def save_weights(model: nnx.Module, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Writes the parameters and batch statistics of a model, atomically.

    A tensor is named by the way to it, as in `stages.0.1.depthwise.conv.kernel`.

    Args:
        model: any NNX model.
        path: of the file.
        metadata: texts to keep in the file's header.
    """
    from safetensors.numpy import save_file

    tensors = {name: np.asarray(variable[...]) for name, variable in _variables(model).items()}
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    save_file(tensors, unfinished, dict(metadata) if metadata else None)
    os.replace(unfinished, path)


def load_weights(model: nnx.Module, path: str | os.PathLike[str]) -> None:
    """Reads what `save_weights` wrote into a model of the same architecture.

    The model is changed only if every tensor fits.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or if tensors are missing, left over or of another shape; all are listed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    variables = _variables(model)
    problems = [f"{name} is missing" for name in variables.keys() - tensors.keys()]
    problems += [f"{name} has no place in the model" for name in tensors.keys() - variables.keys()]
    problems += [
        f"{name} has shape {tensors[name].shape}, the model's has {variables[name].shape}"
        for name in variables.keys() & tensors.keys()
        if tensors[name].shape != variables[name].shape
    ]
    if problems:
        raise ValueError(f"{path} does not fit the model:\n  " + "\n  ".join(sorted(problems)))
    for name, variable in variables.items():
        variable[...] = jnp.asarray(tensors[name], variable.dtype)


def _variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(nnx.state(model, _WEIGHTS))}
