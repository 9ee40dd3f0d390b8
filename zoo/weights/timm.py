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
_MODELS = {  # timm's name -> ours
    "efficientnet_b0": "efficientnet_b0",
    "inception_v3": "inception_v3",
    "legacy_xception": "xception",
    "mnasnet_050": "mnasnet_b1_x0_5",
    "mnasnet_075": "mnasnet_b1_x0_75",
    "mnasnet_100": "mnasnet_b1",
    "mobilenetv1_100": "mobilenet_v1",
    "mobilenetv3_large_075": "mobilenet_v3_large_x0_75",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_050": "mobilenet_v3_small_x0_5",
    "mobilenetv3_small_075": "mobilenet_v3_small_x0_75",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv4_conv_large": "mobilenet_v4_conv_large",
    "mobilenetv4_conv_medium": "mobilenet_v4_conv_medium",
    "mobilenetv4_conv_small": "mobilenet_v4_conv_small",
    "regnetx_002": "regnetx_200mf",
    "regnetx_004": "regnetx_400mf",
    "regnetx_004_tv": "regnet_x_400mf",
    "regnetx_006": "regnetx_600mf",
    "regnetx_008": "regnet_x_800mf",
    "regnety_002": "regnety_200mf",
    "regnety_004": "regnet_y_400mf",
    "regnety_006": "regnety_600mf",
    "regnety_008": "regnety_800mf",
    "regnety_008_tv": "regnet_y_800mf",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnext101_32x4d": "resnext101_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    "resnext101_64x4d": "resnext101_64x4d",
    "resnext50_32x4d": "resnext50_32x4d",
    "semnasnet_100": "mnasnet_a1",
    "vgg16": "vgg16",
}


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
    is_port = architecture.startswith("tf_")  # of nets that Google trained with TensorFlow
    size = training["input_size"][-1]
    preprocessing = Preprocessing(
        size,
        math.floor(size / training["crop_pct"]),
        training["interpolation"],
        tuple(training["mean"]),
        tuple(training["std"]),
    )
    numerics = Numerics(epsilon=1e-3, tensorflow_padding=True) if is_port else None
    return models().get(architecture.removeprefix("tf_")), preprocessing, numerics


def models() -> dict[str, str]:
    """timm's names of the nets that it has weights for -> our names of the models."""
    return _MODELS | {
        weights.architecture: model for model, weights in published_weights() if isinstance(weights, TimmWeights)
    }
