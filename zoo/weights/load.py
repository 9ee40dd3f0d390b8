"""Loading weights into a model: the zoo's own, and those of torchvision and timm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.blocks.batch_norm import CONVERGED, BatchNorm
from zoo.models._names import NameMap
from zoo.models._net import Net
from zoo.models._segmenter import Segmenter
from zoo.weights.checkpoint import Checkpoint, find_checkpoint
from zoo.weights.name_map import TorchTensor, name_maps, prefixes, torch_tensors
from zoo.weights.numerics import Numerics
from zoo.weights.safetensors import variables

_SHOWN = 5  # tensors named in a line


def load_weights(
    model: nnx.Module,
    weights: str | os.PathLike[str] | Checkpoint,
    *,
    strict: bool = True,
    set_epsilon: bool = True,
    set_dilation: bool = True,
) -> None:
    """Reads weights into a model of the same architecture, or those of a classifier into the body of a `Segmenter`.

    Whose names the tensors have is recognised, and the model takes over the `Numerics` that belong to them. A head for
    another number of classes stays as it is, with a warning.

    Args:
        model: is changed only if the tensors fit.
        weights: as `find_checkpoint` takes them.
        strict: whether tensors that are missing, left over or of another shape are an error; if not, they are passed
            over with a warning, but at least half of the model's tensors must fit.
        set_epsilon: whether the batch norms take over the epsilon that belongs to the weights.
        set_dilation: whether the model takes over `dilates_first` from where the weights come from.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, if tensors do not fit, or if some that do hold NaN or infinity; the first of
            them are named.
        WeightsUnavailableError: if the weights cannot be fetched.
    """
    fitting = fit_weights(model, find_checkpoint(weights), strict=strict)
    fitting.load(model, set_epsilon=set_epsilon, set_dilation=set_dilation)


@dataclass(frozen=True)
class FittingWeights:
    """Tensors that fit a model, or its body, in its own layouts.

    Attributes:
        tensors: name of the variable -> its value.
        numerics: how the net computes with them.
        warnings: what the user has to know once they are loaded, in a line each.
        of_body: whether they are for the body of a `Segmenter`, which is dilated as the net wants it.
    """

    tensors: dict[str, np.ndarray]
    numerics: Numerics
    warnings: tuple[str, ...]
    of_body: bool = False

    def load(self, model: nnx.Module, *, set_epsilon: bool, set_dilation: bool) -> None:
        """Puts them into the model that they fit."""
        if self.of_body and isinstance(model, Segmenter):
            model, set_dilation = model.body, False
        targets = variables(model)
        for name, tensor in self.tensors.items():
            targets[name][...] = jnp.asarray(tensor)
        for path, layer in nnx.iter_modules(model):
            if isinstance(layer, BatchNorm) and ".".join(map(str, (*path, "mean"))) in self.tensors:
                layer.num_batches[...] = jnp.float32(CONVERGED)
        self.numerics.apply(model, set_epsilon=set_epsilon, set_dilation=set_dilation)
        for line in self.warnings:
            warnings.warn(line, stacklevel=3)


def fit_weights(model: nnx.Module, checkpoint: Checkpoint, *, strict: bool) -> FittingWeights:
    """Finds the place of every tensor of a checkpoint in a model; changes nothing.

    Args:
        model: also an abstract one, as `nnx.eval_shape` makes it.
        checkpoint: to take the tensors from.
        strict: as in `load_weights`.

    Raises:
        ValueError: as `load_weights`.
    """
    if isinstance(model, Segmenter) and _is_of_body(model, checkpoint):
        of_body = fit_weights(model.body, checkpoint, strict=strict)
        heads = sorted({name.split(".")[0] for name in variables(model)} - {"body"})
        line = (
            f"{checkpoint.path} is of a classifier and becomes the body: what it has after the features is not used, "
            f"and newly initialised here: {', '.join(heads)}"
        )
        return replace(of_body, warnings=(*of_body.warnings, line), of_body=True)
    tensors = checkpoint.tensors
    targets = variables(model)
    expected, names = _recognise(model, checkpoint)
    of_classes = _layers_of_classes(model)
    classes = _numbers_of_classes(model, expected, checkpoint)

    sees_images = f"{model.first_convolution()[0]}.kernel" if isinstance(model, Net) else None

    fitting: dict[str, np.ndarray] = {}
    kept, problems, lines = [], [], []
    for ours, there in expected.items():
        if there.name not in tensors:
            problems.append(f"{there.name} is missing")
            continue
        tensor = tensors[there.name]
        if not jnp.issubdtype(tensor.dtype, jnp.floating):
            problems.append(f"{there.name} is of {tensor.dtype}, which is no floating-point type")
        elif tensor.shape == there.shape:
            with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
                fitting[ours] = there.to_ours(tensor).astype(targets[ours].dtype)
        elif ours == sees_images and (adapted := _for_channels(tensor, there)) is not None:
            fitting[ours] = there.to_ours(adapted).astype(targets[ours].dtype)
            lines.append(f"{checkpoint.path} is for images of {_describe_channels(tensor, there)}")
        elif ours.startswith(of_classes) and _differs_by_classes(tensor.shape, there.shape, classes):
            kept.append(ours)
        else:
            problems.append(f"{there.name} has shape {tensor.shape}, the model's has {there.shape}")
    known = {there.name for there in expected.values()}
    unused = _unused(model, names)
    left_over = [
        name
        for name in tensors
        if name not in known and not name.startswith(unused) and not name.endswith(".num_batches_tracked")
    ]

    if strict and (problems or left_over):
        problems += [f"{name} has no place in the model" for name in left_over]
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(f"{checkpoint.path} does not fit the model: {'; '.join(sorted(problems)[:_SHOWN])}{more}")
    if problems or left_over:
        new = [ours for ours in expected if ours not in fitting and ours not in kept]
        if len(fitting) + len(kept) < len(expected) / 2:
            raise ValueError(
                f"{checkpoint.path} is of another model: {len(fitting)} of the {len(expected)} tensors of "
                f"{type(model).__name__} fit, and less than half is too few even with strict=False"
            )
        lines.append(
            f"{checkpoint.path} fits {len(fitting)} of the model's {len(expected)} tensors: "
            f"{_counted(new, 'stays as it was', 'stay as they were')}, and of the file "
            f"{_counted(left_over, 'has no place in the model', 'have no place in the model')}"
        )
    if kept:
        lines.append(f"{checkpoint.path} is for another number of classes: {', '.join(kept)} stay newly initialised")
    if broken := [ours for ours, tensor in fitting.items() if not np.isfinite(tensor.astype(np.float32)).all()]:
        raise ValueError(f"{checkpoint.path} holds NaN or infinity in {_first(broken)}")
    of_names = Numerics(names.epsilon, dilates_first=names.dilates_first) if names else Numerics()
    return FittingWeights(fitting, checkpoint.numerics or of_names, tuple(lines))


def classes_of(model: Net, checkpoint: Checkpoint) -> int:
    """For how many classes the weights are; as many as the model's if they do not tell.

    Raises:
        ValueError: if they are of another model.
    """
    if isinstance(model, Segmenter) and _is_of_body(model, checkpoint):
        return model.num_classes
    expected, _ = _recognise(model, checkpoint)
    _, there = _numbers_of_classes(model, expected, checkpoint)
    return there


def _is_of_body(model: Segmenter, checkpoint: Checkpoint) -> bool:
    """Whether the names in the file are those of a classifier like the body, rather than of the whole net."""
    of_body, of_all = (_known(_most_alike(net, checkpoint)[0], checkpoint) for net in (model.body, model))
    return of_body > of_all


def _recognise(model: nnx.Module, checkpoint: Checkpoint) -> tuple[dict[str, TorchTensor], NameMap | None]:
    """Our variables and the tensors of the file that belong to them, by the names that most tensors have."""
    best = _most_alike(model, checkpoint)
    known, total = _known(best[0], checkpoint), len(best[0])
    if known < total / 2:
        raise ValueError(
            f"{checkpoint.path} is of another model: of the {total} tensors that {type(model).__name__} has in "
            f"{' and in '.join(('the zoo', *name_maps(model)))} it has {known}"
        )
    return best


def _most_alike(model: nnx.Module, checkpoint: Checkpoint) -> tuple[dict[str, TorchTensor], NameMap | None]:
    shapes = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    best: tuple[dict[str, TorchTensor], NameMap | None] = (
        {name: TorchTensor(name, shape, None, shape) for name, shape in shapes.items()},
        None,
    )
    for names in name_maps(model).values():
        candidate = torch_tensors(model, names)
        if _known(candidate, checkpoint) > _known(best[0], checkpoint):
            best = candidate, names
    return best


def _known(expected: dict[str, TorchTensor], checkpoint: Checkpoint) -> int:
    return sum(there.name in checkpoint.tensors for there in expected.values())


def _layers_of_classes(model: nnx.Module) -> tuple[str, ...]:
    """How the names of the variables begin whose shapes depend on the number of classes."""
    return tuple(f"{layer}." for layer in model.layers_of_classes()) if isinstance(model, Net) else ()


def _unused(model: nnx.Module, names: NameMap | None) -> tuple[str, ...]:
    """How the names of the tensors begin that have no place in the model, and need none."""
    unused = (*names.unused, *names.fixed) if names else ()
    if isinstance(model, Net) and not model.num_classes:
        # Two libraries may differ in nothing but what comes after the features, which the body of a dense net lacks.
        layers = [layer for known in name_maps(model).values() for layer in known.layers.items()]
        if names is None:
            layers = [(ours, ours) for ours in (*model.layers_of_classes(), *dict(layers))]
        gone = [theirs for ours, theirs in layers if getattr(model, ours.split(".")[0], None) is None]
        unused += tuple(prefix for theirs in gone for prefix in prefixes(theirs))
    return unused


def _for_channels(tensor: np.ndarray, there: TorchTensor) -> np.ndarray | None:
    """The kernel that sees the images, for another number of channels, as timm has it; None if more differs.

    For one channel it is the sum over those that there were: grey pictures give what they gave as colour pictures.
    For others it is repeated, and scaled so that a grey picture gives the same.
    """
    axis = _input_axis(there)
    if tensor.ndim != 4 or np.delete(tensor.shape, axis).tolist() != np.delete(there.shape, axis).tolist():
        return None
    before, wanted = tensor.shape[axis], there.shape[axis]
    if wanted == 1:
        return tensor.sum(axis, keepdims=True, dtype=np.float32)
    return tensor.astype(np.float32).take(np.arange(wanted) % before, axis) * np.float32(before / wanted)


def _describe_channels(tensor: np.ndarray, there: TorchTensor) -> str:
    before, wanted = (shape[_input_axis(there)] for shape in (tensor.shape, there.shape))
    how = (
        "summed over its inputs" if wanted == 1 else f"repeated to {wanted} inputs and multiplied by {before}/{wanted}"
    )
    return f"{before} channel{'s' * (before > 1)}: {there.name} is {how}"


def _input_axis(there: TorchTensor) -> int:
    return 2 if there.kernel is None else 1  # HWIO here, OIHW there


def _numbers_of_classes(model: nnx.Module, expected: dict[str, TorchTensor], checkpoint: Checkpoint) -> tuple[int, int]:
    """The number of classes that the model tells apart, and that for which the weights are; 1 for what is no net."""
    head = expected.get(f"{model.layers_of_classes()[0]}.bias") if isinstance(model, Net) else None
    if head is None or len(head.shape) != 1:
        return 1, 1
    there = checkpoint.tensors.get(head.name)
    return head.shape[0], head.shape[0] if there is None or there.ndim != 1 or there.size < 1 else len(there)


def _differs_by_classes(shape: tuple[int, ...], ours: tuple[int, ...], classes: tuple[int, int]) -> bool:
    """Whether a shape is that of the model's tensor but for the number of classes, or a multiple of it."""
    here, there = classes
    return len(shape) == len(ours) and all(
        size == own or (own % here == 0 and size == own // here * there) for size, own in zip(shape, ours, strict=True)
    )


def _counted(names: Collection[str], one: str, several: str) -> str:
    """How many tensors, and the first of them, as in "2 stay as they were (a, b)"."""
    if not names:
        return f"none {one}"
    return f"{len(names)} {one if len(names) == 1 else several} ({_first(names)})"


def _first(names: Collection[str]) -> str:
    return ", ".join(list(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
