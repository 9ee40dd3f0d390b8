"""What every source of examples gives to training: two splits of labelled images and their statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from zoo.preprocessing import Preprocessing
from zoo.task_names import TaskName

IGNORED = 255  # A pixel of this value has no class: neither losses nor scores count it.


class DataUnavailableError(RuntimeError):
    """A data set is not there or damaged, and cannot be had; the message says what the user can do."""


class Source(Protocol):
    """Random access to examples: Grain's and TFDS's data-source protocol.

    An example is a mapping with `"image"`, uint8 of shape (H, W, 3), and `"label"`: an int or, for segmentation, uint8
    of shape (H, W), the class of each pixel, or `IGNORED` where it has none. A source that knows its labels without
    reading its examples has them all in an attribute `labels`, int32 (N,) or uint8 (N, H, W), and one that can tell
    whether it is still the same has an attribute `fingerprint`, a text.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


def fingerprint_of(*parts: np.ndarray | str) -> str:
    """SHA-256 of arrays and texts, one after another."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else np.ascontiguousarray(part).data
        digest.update(content)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """A split that is held in memory, and that training therefore keeps on the device.

    Attributes:
        images: uint8, shape (N, H, W, 3).
        labels: int32, shape (N,), or uint8, shape (N, H, W): the class of each pixel, or `IGNORED`.

    Raises:
        ValueError: if a shape or dtype is another.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {images.shape}")
        forms = {np.dtype(np.int32): images.shape[:1], np.dtype(np.uint8): images.shape[:3]}
        if forms.get(labels.dtype) != labels.shape:
            allowed = " or ".join(f"{dtype} {shape}" for dtype, shape in forms.items())
            raise ValueError(f"labels must be {allowed}, not {labels.dtype} {labels.shape}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        label = self.labels[index]
        return {"image": self.images[index], "label": label if label.ndim else int(label)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all images and labels."""
        return fingerprint_of(self.images, self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled image data set.

    Attributes:
        name: what it is called in tables and reports.
        class_names: label -> name.
        image_size: height and width in pixels of the test images, and of what a net sees.
        train: an `ArraySplit` where the data fits on the device; any other `Source` streams through Grain.
        test: likewise.
        mean, std: per-channel statistics of pixels in units of 0 to 1, with which images are normalised.
        note: what was found and what is not used, one line for the start of a run; empty if there is nothing to tell.
        train_image_size: height and width of the training images, where they are larger than what a net sees, which is
            cropped out of them; None for `image_size`.
        preprocessing: how test pictures are resized and cropped, where the start weights say so.
        task: what a label is: one class of the whole image, or the class of each pixel.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: int
    train: Source
    test: Source
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    note: str = ""
    train_image_size: int | None = None
    preprocessing: Preprocessing | None = None
    task: TaskName = "classification"
