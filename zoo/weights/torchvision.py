"""The weights that torchvision publishes, fetched into PyTorch's cache."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zoo.atomic_file import replacing
from zoo.published import TorchvisionWeights
from zoo.registry import published_weights
from zoo.suggestions import nearest
from zoo.weights.fetched import is_whole
from zoo.weights.unavailable import WeightsUnavailableError

_ADDRESS = "https://download.pytorch.org/models/"
_SECONDS = 10  # to wait for an answer


def find(name: str) -> tuple[str, TorchvisionWeights]:
    """Our name of the model, and the weights for it, by the name that torchvision gives them.

    Args:
        name: such as "MobileNet_V2_Weights.IMAGENET1K_V2".

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    known = {weights.name: (model, weights) for model, weights in _published()}
    if name not in known:
        raise ValueError(f"unknown weights 'torchvision/{name}'; {nearest(name, sorted(known))}")
    return known[name]


def find_file(name: str) -> tuple[str, TorchvisionWeights] | None:
    """As `find`, by the name of the file, such as "mobilenet_v2-7ebf99e0.pth"; None if torchvision has no such file."""
    return next(((model, weights) for model, weights in _published() if weights.file == name), None)


def _published() -> Iterator[tuple[str, TorchvisionWeights]]:
    for model, weights in published_weights():
        if isinstance(weights, TorchvisionWeights):
            yield model, weights


def fetch(weights: TorchvisionWeights) -> Path:
    """Where the file lies in PyTorch's cache, fetched from torchvision's address if it was not there.

    A file in the cache that is not what its name says is set aside, with a warning, and fetched again.

    Raises:
        WeightsUnavailableError: if it cannot be fetched.
        ValueError: if what comes is not what its name says; nothing is kept of it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_home = Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser()
    path = torch_home / "hub" / "checkpoints" / weights.file
    expected = re.findall(r"-([0-9a-f]+)\.pth", weights.file)[-1]
    if path.is_file() and is_whole(path, expected):
        return path
    address, way_out = _ADDRESS + weights.file, f"Without a network, put the file at {path}."
    try:
        import requests
    except ImportError as error:
        raise WeightsUnavailableError.from_missing(error, way_out) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with (
            requests.get(address, timeout=_SECONDS, stream=True) as answer,
            replacing(path) as unfinished,
            unfinished.open("wb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_content(1 << 20):
                digest.update(chunk)
                file.write(chunk)
            if not digest.hexdigest().startswith(expected):
                raise ValueError(
                    f"{address} gave a file with SHA-256 {digest.hexdigest()}, which must begin with {expected}"
                )
    except requests.RequestException as error:
        raise WeightsUnavailableError.from_network(address, error, way_out) from error
    return path
