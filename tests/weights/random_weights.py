"""Weights that are the same for the original nets and for ours: drawn for each tensor from its name in the original."""

from __future__ import annotations

import math
import zlib

import numpy as np


def random_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of a PyTorch state dict, of the size that keeps activations in range."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) > 1:
        tensor = rng.standard_normal(shape) * math.sqrt(1 / math.prod(shape[1:]))
    elif name.endswith(("weight", "running_var")):
        tensor = rng.uniform(0.5, 1.5, shape)
    else:
        tensor = rng.standard_normal(shape) * 0.1
    return tensor.astype(np.float32)


def random_images(size: int) -> np.ndarray:
    """Two normalised images, float32 (2, size, size, 3)."""
    return np.random.default_rng(size).standard_normal((2, size, size, 3)).astype(np.float32)
