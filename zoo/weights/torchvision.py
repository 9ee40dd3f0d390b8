"""The weights that torchvision publishes, fetched into PyTorch's cache."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from zoo.published import TorchvisionWeights
from zoo.registry import published_weights
from zoo.suggestions import nearest
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
    known = {
        weights.name: (model, weights)
        for model, weights in published_weights()
        if isinstance(weights, TorchvisionWeights)
    }
    if name not in known:
        raise ValueError(f"unknown weights 'torchvision/{name}'; {nearest(name, sorted(known))}")
    return known[name]


def fetch(weights: TorchvisionWeights) -> Path:
    """Where the file lies in PyTorch's cache, fetched from torchvision's address if it was not there.

    Raises:
        WeightsUnavailableError: if it cannot be fetched.
        ValueError: if what comes is not what its name says; nothing is kept of it.
    """
    import requests

    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_home = Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser()
    path = torch_home / "hub" / "checkpoints" / weights.file
    if path.is_file():
        return path
    address = _ADDRESS + weights.file
    try:
        answer = requests.get(address, timeout=_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise WeightsUnavailableError.from_network(
            address, error, f"Without a network, put the file at {path}."
        ) from error
    digest = hashlib.sha256(answer.content).hexdigest()
    expected = re.findall(r"-([0-9a-f]+)\.pth", weights.file)[-1]
    if not digest.startswith(expected):
        raise ValueError(f"{address} gave a file with SHA-256 {digest}, which must begin with {expected}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(answer.content)
    os.replace(unfinished, path)
    return path
