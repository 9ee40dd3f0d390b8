"""zoo: efficient convolutional architectures in Flax NNX that are efficient in XLA."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo import analysis, blocks, export, models, ops
    from zoo.blocks.fusion import fuse
    from zoo.models._classifier import ImageClassifier
    from zoo.models._segmenter import Segmenter
    from zoo.models._views import AveragedViews
    from zoo.preprocessing import Preprocessing, preprocess
    from zoo.registry import ModelInfo, create_model, list_models, model_info, register
    from zoo.weights.load import load_weights
    from zoo.weights.safetensors import save_weights

    __version__: str

_SUBPACKAGES = ("analysis", "blocks", "export", "models", "ops")
_HOMES = {
    "AveragedViews": "zoo.models._views",
    "ImageClassifier": "zoo.models._classifier",
    "ModelInfo": "zoo.registry",
    "Preprocessing": "zoo.preprocessing",
    "Segmenter": "zoo.models._segmenter",
    "create_model": "zoo.registry",
    "fuse": "zoo.blocks.fusion",
    "list_models": "zoo.registry",
    "load_weights": "zoo.weights.load",
    "model_info": "zoo.registry",
    "preprocess": "zoo.preprocessing",
    "register": "zoo.registry",
    "save_weights": "zoo.weights.safetensors",
}

__all__ = [
    "AveragedViews",
    "ImageClassifier",
    "ModelInfo",
    "Preprocessing",
    "Segmenter",
    "__version__",
    "analysis",
    "blocks",
    "create_model",
    "export",
    "fuse",
    "list_models",
    "load_weights",
    "model_info",
    "models",
    "ops",
    "preprocess",
    "register",
    "save_weights",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and JAX with it, when it is first asked for: the command line starts at once."""
    if name == "__version__":
        from importlib.metadata import version

        return version("conv-zoo")
    if name in _SUBPACKAGES:
        return import_module(f"zoo.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
