"""Loading weights into a model: the zoo's own, and those of torchvision and timm."""

from __future__ import annotations

import os
import re
import warnings

import jax.numpy as jnp
from flax import nnx

from zoo.blocks.batch_norm import CONVERGED, BatchNorm
from zoo.models._names import NameMap
from zoo.weights.checkpoint import Checkpoint, find_checkpoint
from zoo.weights.name_map import TorchTensor, name_maps, torch_tensors
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import variables

_HEAD = re.compile(r"(head|auxiliary_heads\.\d+\.classify)\.(kernel|bias)")


def load_weights(
    model: nnx.Module,
    weights: str | os.PathLike[str] | Checkpoint,
    *,
    strict: bool = True,
    adopt_classes: bool = False,
    set_epsilon: bool = True,
) -> None:
    """Reads weights into a model of the same architecture.

    Whose names the tensors have is recognised, and the model takes over the `Numerics` that belong to them.

    Args:
        model: is changed only if the tensors fit.
        weights: as `find_checkpoint` takes them.
        strict: whether tensors that are missing, left over or of another shape are an error; else they are passed
            over.
        adopt_classes: whether the model gets a head for as many classes as the weights are for. Else one for another
            number stays as it is, with a warning.
        set_epsilon: whether the batch norms take over the epsilon that belongs to the weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or if tensors do not fit; all of them are listed.
        WeightsUnavailableError: if the weights cannot be fetched.
    """
    checkpoint = weights if isinstance(weights, Checkpoint) else find_checkpoint(weights)
    tensors = checkpoint.tensors
    expected, names = _recognise(model, checkpoint, strict=strict)
    if adopt_classes and (classes := _other_classes(expected, checkpoint)):
        model.reset_head(classes)  # type: ignore[attr-defined]
        expected, names = _recognise(model, checkpoint, strict=strict)

    targets = variables(model)
    fitting, kept, problems = {}, [], []
    for ours, there in expected.items():
        if there.name not in tensors:
            problems.append(f"{there.name} is missing")
        elif tensors[there.name].shape == there.shape:
            fitting[ours] = there.to_ours(tensors[there.name])
        else:
            shape = tensors[there.name].shape
            if _HEAD.fullmatch(ours) and _but_for_classes(shape, names) == _but_for_classes(there.shape, names):
                kept.append(ours)
            else:
                problems.append(f"{there.name} has shape {shape}, the model's has {there.shape}")
    known = {there.name for there in expected.values()}
    unused = names.unused if names else ()
    problems += [
        f"{name} has no place in the model"
        for name in tensors
        if name not in known and not name.startswith(unused) and not name.endswith(".num_batches_tracked")
    ]
    if problems and strict:
        raise ValueError(f"{checkpoint.path} does not fit the model:\n  " + "\n  ".join(sorted(problems)))

    for ours, tensor in fitting.items():
        targets[ours][...] = jnp.asarray(tensor, targets[ours].dtype)
    for path, layer in nnx.iter_modules(model):
        if isinstance(layer, BatchNorm) and ".".join(map(str, (*path, "mean"))) in fitting:
            layer.num_batches[...] = jnp.float32(CONVERGED)
    numerics = checkpoint.numerics or Numerics(names.epsilon if names else None)
    numerics.apply(model, set_epsilon=set_epsilon)
    if kept:
        warnings.warn(
            f"{checkpoint.path} is for another number of classes: {', '.join(kept)} stay newly initialised",
            stacklevel=2,
        )


def _recognise(
    model: nnx.Module, checkpoint: Checkpoint, *, strict: bool
) -> tuple[dict[str, TorchTensor], NameMap | None]:
    """Our variables and the tensors of the file that belong to them, by the names that most tensors have."""
    shapes = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    best: tuple[dict[str, TorchTensor], NameMap | None] = (
        {name: TorchTensor(name, shape, None, shape) for name, shape in shapes.items()},
        None,
    )
    maps = name_maps(model)
    for names in maps.values():
        candidate = torch_tensors(model, names)
        if _known(candidate, checkpoint) > _known(best[0], checkpoint):
            best = candidate, names
    known = _known(best[0], checkpoint)
    if known == 0 or (strict and known < len(shapes) / 2):
        raise ValueError(
            f"{checkpoint.path} is of another model: of the {len(shapes)} tensors that {type(model).__name__} has in "
            f"{' and in '.join(('the zoo', *maps))} it has {known}"
        )
    return best


def _but_for_classes(shape: tuple[int, ...], names: NameMap | None) -> tuple[int, ...]:
    """The shape of a head's tensor without the axis of the classes: our last one, PyTorch's first."""
    return shape[:-1] if names is None else shape[1:]


def _known(expected: dict[str, TorchTensor], checkpoint: Checkpoint) -> int:
    return sum(there.name in checkpoint.tensors for there in expected.values())


def _other_classes(expected: dict[str, TorchTensor], checkpoint: Checkpoint) -> int | None:
    """The number of classes that the weights are for, if it is not the model's."""
    head = expected.get("head.bias")
    tensor = None if head is None else checkpoint.tensors.get(head.name)
    return None if head is None or tensor is None or tensor.shape == head.shape else len(tensor)
