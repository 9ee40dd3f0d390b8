"""Reading PyTorch's own files, without executing what is pickled in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.weights.unavailable import WeightsUnavailableError

if TYPE_CHECKING:
    import torch


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, also of one inside a training checkpoint, as `state_dict` or `model`.

    Raises:
        WeightsUnavailableError: without PyTorch.
        ValueError: if the file is damaged, holds anything but tensors and plain data, or has no state dict.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise WeightsUnavailableError(
            f"{path} is in PyTorch's own format, and reading it takes PyTorch: `pip install torch`. Or save it where "
            "PyTorch is installed, by `safetensors.torch.save_file(state_dict, 'weights.safetensors')`"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of any kind: the unpickler does what the damaged bytes say
        first_line, *_ = f"{str(error) or type(error).__name__}\n".splitlines()
        raise ValueError(f"{path} is no whole file of tensors: {first_line}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{path} holds no state dict: names and tensors")
    return {name.removeprefix("module."): _numpy(tensor, name, path) for name, tensor in state.items()}


def _numpy(tensor: torch.Tensor, name: str, path: Path) -> np.ndarray:
    try:
        return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    except (RuntimeError, TypeError) as error:  # of sparse, quantised and nested tensors, and those without values
        raise ValueError(f"{path}: {name} is no plain tensor: {error}") from error
