"""zoo: efficient convolutional architectures in Flax NNX that are efficient in XLA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.preprocessing import Preprocessing, preprocess
    from zoo.registry import ModelInfo, create_model, list_models, model_info

__all__ = ["ModelInfo", "Preprocessing", "create_model", "list_models", "model_info", "preprocess"]


def __getattr__(name: str) -> Any:
    """Imports the rest, and with it JAX, when it is first asked for: `zoo list` does without, and is fast so."""
    if name not in __all__:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    from zoo import preprocessing, registry

    return getattr(preprocessing if name in ("Preprocessing", "preprocess") else registry, name)
