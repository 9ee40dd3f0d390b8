"""Names of models, how to make them, and the published figures that they must meet."""

from __future__ import annotations

import fnmatch
import inspect
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from flax import nnx

from zoo.suggestions import nearest

if TYPE_CHECKING:
    from zoo.models.classifier import ImageClassifier


@dataclass(frozen=True)
class ModelInfo:
    """What is published about a model.

    Attributes:
        paper: where it is described.
        input_size: height and width of the images the figures are for: 32 for CIFAR-10, else ImageNet.
        parameters: learnable scalars with all classes of that data set; an int where the exact count is known, a
            float where the source rounds it.
        macs: multiply-accumulates of convolutions and linear layers for one image, biases and norms not counted;
            None if not published.
        top1: accuracy on that data set in per cent, or None if not published.
        counts_norms: whether `parameters` includes those of normalisation; TF-slim's tables leave them out.
        macs_tolerance: how far `macs` may be from what this project counts, as a share; what is above 1 % is
            explained where the model is registered.
    """

    paper: str
    input_size: int
    parameters: int | float
    macs: float | None = None
    top1: float | None = None
    counts_norms: bool = True
    macs_tolerance: float = 0.01


@dataclass(frozen=True)
class _Entry:
    architecture: type[ImageClassifier]
    options: dict[str, Any]
    info: ModelInfo


_models: dict[str, _Entry] = {}


def register(name: str, architecture: type[ImageClassifier], info: ModelInfo, **options: Any) -> None:
    """Adds a model.

    Args:
        name: what `create_model` knows it by.
        architecture: its class.
        info: its published figures.
        **options: what sets it apart from others of its class, such as `width=0.5`.

    Raises:
        ValueError: if the name is taken.
    """
    if name in _models:
        raise ValueError(f"model {name!r} is registered already")
    _models[name] = _Entry(architecture, options, info)


def create_model(
    name: str, *, rngs: nnx.Rngs | None = None, weights: str | PathLike[str] | None = None, **options: Any
) -> ImageClassifier:
    """Builds a model, in training mode as every NNX module.

    Args:
        name: one of `list_models()`.
        rngs: initialises the parameters; None for seed 0.
        weights: a safetensors file to load into it, as a training run writes it.
        **options: of the model's constructor, such as `num_classes=10, small_images=True`.

    Returns:
        The model; `model(images)` maps (N, H, W, 3) to logits (N, num_classes).

    Raises:
        ValueError: for an unknown name or option, with the nearest known ones, or if the weights do not fit.
    """
    entry, known = _find(name), model_options(name)
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; {nearest(option, known)}")
    architecture: Any = entry.architecture  # whose options each class names for itself
    model = architecture(rngs=rngs or nnx.Rngs(0), **(entry.options | options))
    if weights is not None:
        from zoo.weights.safetensors import load_weights

        load_weights(model, weights)
    return model


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern such as "mobilenet*", sorted."""
    return sorted(fnmatch.filter(_models, pattern))


def model_info(name: str) -> ModelInfo:
    """The published figures of a model.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    return _find(name).info


def model_options(name: str) -> list[str]:
    """The options that `create_model` takes for a model.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    parameters = inspect.signature(_find(name).architecture.__init__).parameters
    return [option for option in parameters if option not in ("self", "rngs")]


def _find(name: str) -> _Entry:
    if name not in _models:
        raise ValueError(f"unknown model {name!r}; {nearest(name, sorted(_models))}")
    return _models[name]
