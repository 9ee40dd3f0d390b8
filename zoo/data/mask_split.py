"""A split of images with a class for each pixel, held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zoo.data.dataset import fingerprint_of, require_images

IGNORED = 255  # A pixel of this value has no class: neither losses nor scores count it.


@dataclass(frozen=True, eq=False)
class MaskSplit:
    """Images and their masks, as `zoo.data.dataset.ArraySplit` has images and their labels.

    Attributes:
        images: uint8, shape (N, H, W, 3).
        masks: uint8, shape (N, H, W): the class of each pixel, or `IGNORED`.

    Raises:
        ValueError: if a shape or dtype is another.
    """

    images: np.ndarray
    masks: np.ndarray

    def __post_init__(self) -> None:
        require_images(self.images)
        shape = self.images.shape[:3]
        if self.masks.shape != shape or self.masks.dtype != np.uint8:
            raise ValueError(f"masks must be uint8 {shape}, not {self.masks.dtype} {self.masks.shape}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        return {"image": self.images[index], "mask": self.masks[index]}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all images and masks."""
        return fingerprint_of(self.images, self.masks)
