"""From a `NameMap` to tensors: what they are called in a PyTorch implementation of a net, and how they are laid out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from flax import nnx

from zoo.blocks import ConvNormAct, SqueezeExcite
from zoo.models._names import NameMap
from zoo.models._net import Net
from zoo.weights.safetensors import variables

_TENSORS = {  # what PyTorch calls the variables of a layer
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_INSIDE: dict[type, tuple[str, str]] = {ConvNormAct: ("conv", "norm"), SqueezeExcite: ("reduce", "expand")}
_PAIR = re.compile(r"(.*)\[(.+),(.+)\]")


@dataclass(frozen=True)
class TorchTensor:
    """A tensor there that belongs to a variable here.

    Attributes:
        name: in the checkpoint.
        shape: in the checkpoint.
        kernel: our kernel's shape as (height, width, inputs, outputs); None for a vector.
        ours: the shape of our variable.
    """

    name: str
    shape: tuple[int, ...]
    kernel: tuple[int, int, int, int] | None
    ours: tuple[int, ...]

    def to_ours(self, tensor: np.ndarray) -> np.ndarray:
        """From the layout of the checkpoint to that of our variable."""
        if self.kernel is None:
            return tensor
        height, width, inputs, outputs = self.kernel
        return tensor.reshape(outputs, inputs, height, width).transpose(2, 3, 1, 0).reshape(self.ours)

    def from_ours(self, variable: np.ndarray) -> np.ndarray:
        """From the layout of our variable to that of the checkpoint."""
        if self.kernel is None:
            return variable
        return np.ascontiguousarray(variable.reshape(self.kernel).transpose(3, 2, 0, 1).reshape(self.shape))


def name_maps(model: nnx.Module) -> dict[str, NameMap]:
    """Where there is such a model, as in "torchvision" or "timm", and the names there; none for other modules."""
    return model.torch_names() if isinstance(model, Net) else {}


def torch_tensors(model: nnx.Module, names: NameMap) -> dict[str, TorchTensor]:
    """Our variables, as in `stem.conv.kernel`, and the tensors there that belong to them.

    Args:
        model: also an abstract one, as `nnx.eval_shape` makes it.
        names: of its class.

    Raises:
        KeyError: if the map misses a layer that has variables.
    """
    theirs = dict(_leaves(model, names))
    tensors = {}
    for path, variable in variables(model).items():
        layer, _, kind = path.rpartition(".")
        shape = tuple(variable.shape)
        kernel, torch_shape = None, shape
        if kind == "kernel":
            if len(shape) == 4:
                height, width, inputs, outputs = shape
            else:
                outputs = shape[1]
                height, width = names.flattened.get(layer, (1, 1))
                inputs = shape[0] // (height * width)
            kernel = (height, width, inputs, outputs)
            is_conv = len(shape) == 4 or layer in names.convolutions
            torch_shape = (outputs, inputs, height, width) if is_conv else (outputs, inputs * height * width)
        tensors[f"{layer}.{kind}"] = TorchTensor(f"{theirs[layer]}.{_TENSORS[kind]}", torch_shape, kernel, shape)
    return tensors


def prefixes(theirs: str) -> list[str]:
    """How the names of a layer's tensors begin, given what a `NameMap` calls it."""
    pair = _PAIR.fullmatch(theirs)
    return [f"{theirs}."] if pair is None else [f"{pair[1]}{name}." for name in pair.groups()[1:]]


def counters(model: nnx.Module, names: NameMap) -> list[str]:
    """The names of the counters of batches that PyTorch's batch norms have and ours do without."""
    return [
        f"{theirs}.num_batches_tracked"
        for ours, theirs in _leaves(model, names)
        if isinstance(_layer(model, ours), nnx.BatchNorm)
    ]


def _leaves(model: nnx.Module, names: NameMap) -> list[tuple[str, str]]:
    """The innermost layers: where they are in our model, and their names there."""
    leaves = []
    for ours, theirs in names.layers.items():
        layer = _layer(model, ours)
        pair = _PAIR.fullmatch(theirs)
        if layer is None or isinstance(layer, nnx.Sequential):
            continue
        if pair is None:
            leaves.append((f"{ours}.conv" if isinstance(layer, ConvNormAct) else ours, theirs))
        else:
            prefix, *there = pair.groups()
            for inner, name in zip(_INSIDE[type(layer)], there, strict=True):
                leaves.append((f"{ours}.{inner}", prefix + name))
    return leaves


def _layer(model: nnx.Module, path: str) -> Any:
    """The layer at a path such as `stages.0.1.expand`; None if the model has none there."""
    layer: Any = model
    for part in path.split("."):
        try:
            layer = layer[int(part)] if part.isdigit() else attrgetter(part)(layer)
        except (AttributeError, IndexError):
            return None
    return layer
