"""The weights that timm publishes on Hugging Face, each in a folder with a description."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights
from zoo.registry import published_weights
from zoo.weights.numerics import Numerics
from zoo.weights.unavailable import WeightsUnavailableError

_SECONDS = 5  # to wait for an answer
_FILES = ("config.json", "model.safetensors")
_TENSORFLOW = Numerics(epsilon=1e-3, tensorflow_padding=True)


def fetch(name: str) -> Path:
    """The folder in Hugging Face's cache with the weights and their description, fetched if it was not there.

    Args:
        name: of the repository, such as "timm/mobilenetv4_conv_small.e2400_r224_in1k".

    Raises:
        ValueError: if there cannot be a repository of that name.
        WeightsUnavailableError: if it cannot be fetched.
    """
    import requests
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return _folder(name, local_files_only=True)
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ValueError(f"weights {name!r} are no name of a repository: {error}") from error
    try:
        # Hugging Face's client would try again for half a minute.
        requests.head(hf_hub_url(name, _FILES[0]), timeout=_SECONDS).raise_for_status()
        return _folder(name)
    except OSError as error:  # which those of requests and of Hugging Face's client are
        raise WeightsUnavailableError.from_network(
            f"https://huggingface.co/{name}",
            error,
            f"Without a network, put its {' and '.join(_FILES)} into a folder, and give that folder instead.",
        ) from error


def _folder(name: str, *, local_files_only: bool = False) -> Path:
    from huggingface_hub import hf_hub_download

    config, _ = (Path(hf_hub_download(name, file, local_files_only=local_files_only)) for file in _FILES)
    return config.parent


def describe(config: dict[str, Any]) -> tuple[str | None, Preprocessing, Numerics | None]:
    """Our name of the model, the preprocessing and the numerics that timm's `config.json` tells."""
    architecture, training = config["architecture"], config["pretrained_cfg"]
    size = training["input_size"][-1]
    preprocessing = Preprocessing(
        size,
        math.floor(size / training["crop_pct"]),
        training["interpolation"],
        tuple(training["mean"]),
        tuple(training["std"]),
    )
    model, weights = nets().get(architecture, (None, None))
    return model, preprocessing, _TENSORFLOW if weights and weights.from_tensorflow else None


def nets() -> dict[str, tuple[str, TimmWeights]]:
    """timm's name of each net that we can take the weights of -> our name of the model, and what is known of them."""
    return {
        weights.architecture: (model, weights)
        for model, weights in published_weights()
        if isinstance(weights, TimmWeights)
    }
