"""The weights that timm publishes on Hugging Face, each in a folder with a description."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights
from zoo.registry import published_weights
from zoo.weights.description import (
    LARGEST_IMAGE,
    is_interpolation,
    is_size,
    is_three_numbers,
    is_three_positive_numbers,
    require,
)
from zoo.weights.fetched import is_whole
from zoo.weights.numerics import Numerics
from zoo.weights.unavailable import WeightsUnavailableError

_SECONDS = 5  # to wait for an answer
_FILES = ("config.json", "model.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TENSORFLOW = Numerics(epsilon=1e-3, tensorflow_padding=True, dilates_first=False)


def fetch(name: str) -> Path:
    """The folder in Hugging Face's cache with the weights and their description, fetched if it was not there.

    Args:
        name: of the repository, such as "timm/mobilenetv4_conv_small.e2400_r224_in1k".

    Raises:
        ValueError: if there cannot be a repository of that name.
        WeightsUnavailableError: if it cannot be fetched.
    """
    way_out = f"Without a network, put its {' and '.join(_FILES)} into a folder, and give that folder instead."
    try:
        import requests
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise WeightsUnavailableError.from_missing(error, way_out) from error

    try:
        if (folder := _folder(name, local_files_only=True)) is not None:
            return folder
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise ValueError(f"weights {name!r} are no name of a repository: {error}") from error
    address = f"https://huggingface.co/{name}"
    try:
        # Hugging Face's client would try again for half a minute.
        requests.head(hf_hub_url(name, _FILES[0]), timeout=_SECONDS).raise_for_status()
        folder = _folder(name)
    except OSError as error:  # which those of requests and of Hugging Face's client are
        raise WeightsUnavailableError.from_network(address, error, way_out) from error
    if folder is None:
        raise ValueError(f"{address} gave a file that is not what its SHA-256 says")
    return folder


def _folder(name: str, *, local_files_only: bool = False) -> Path | None:
    """The folder with the files of a repository; None if they are damaged and have been set aside."""
    from huggingface_hub import hf_hub_download

    config, weights = (Path(hf_hub_download(name, file, local_files_only=local_files_only)) for file in _FILES)
    content = weights.resolve()  # large files are kept under their SHA-256, and linked to
    return config.parent if not _SHA256.fullmatch(content.name) or is_whole(content, content.name) else None


def describe(path: Path) -> tuple[str | None, Preprocessing, Numerics | None]:
    """Our name of the model, the preprocessing and the numerics that timm's `config.json` tells.

    Raises:
        ValueError: if it is not JSON of the form that timm writes, naming the file and the value.
    """
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    require(isinstance(config, dict), path, "the content", config, "a mapping")
    architecture, training = config.get("architecture"), config.get("pretrained_cfg")
    require(isinstance(architecture, str), path, "architecture", architecture, "timm's name of the net")
    require(isinstance(training, dict), path, "pretrained_cfg", training, "a mapping")
    for key, (holds, should) in _SCHEMA.items():
        require(holds(training.get(key)), path, key, training.get(key), should)
    size = training["input_size"][-1]
    preprocessing = Preprocessing(
        size,
        math.floor(size / training["crop_pct"]),
        training["interpolation"],
        tuple(training["mean"]),
        tuple(training["std"]),
    )
    for weights_of, weights in published_weights():
        if isinstance(weights, TimmWeights) and weights.architecture == architecture:
            return weights_of, preprocessing, _TENSORFLOW if weights.from_tensorflow else None
    return None, preprocessing, None


def _is_input_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(is_size, value))


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0.1 <= value <= 1


_SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "input_size": (_is_input_size, f"channels, height and width, at most {LARGEST_IMAGE}"),
    "crop_pct": (_is_share, "a number from 0.1 to 1"),
    "interpolation": (is_interpolation, "bilinear or bicubic"),
    "mean": (is_three_numbers, "three numbers"),
    "std": (is_three_positive_numbers, "three numbers above 0"),
}
