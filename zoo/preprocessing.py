"""From pictures to what a net was trained on: resized, cropped and normalised."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from zoo.registry import ModelInfo

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """What a picture goes through before a net sees it.

    Attributes:
        input_size: height and width of the crop from the middle, in pixels.
        resize_size: number of pixels that the shorter side is resized to beforehand.
        interpolation: of the resizing, which smooths where it makes a picture smaller.
        mean, std: of each channel, in units of 0 to 1: what is subtracted, and what the rest is divided by.
    """

    input_size: int
    resize_size: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def at(self, input_size: int) -> Preprocessing:
        """The same for crops of another size: they show the same part of a picture, but for rounding."""
        return replace(self, input_size=input_size, resize_size=round(self.resize_size * input_size / self.input_size))


def preprocess(images: Iterable[Any], info: ModelInfo | Preprocessing) -> np.ndarray:
    """Pictures as a net takes them: float32 (N, input_size, input_size, 3).

    Args:
        images: Pillow images of any mode, which `zoo.pictures.to_rgb` converts, or uint8 arrays (H, W, 3) or (H, W);
            one uint8 array (N, H, W, 3) is N pictures.
        info: of a model, `zoo.model_info(name, weights=...)`, or what belongs to the weights.

    Raises:
        ValueError: if there are no images, if `images` is a single picture, if an array is not uint8 or has another
            shape, or if an image cannot be read.
    """
    from PIL import Image

    from zoo.pictures import to_rgb

    shape = getattr(images, "shape", None)
    if isinstance(images, Image.Image | str | os.PathLike) or (shape is not None and len(shape) != 4):
        what = type(images).__name__ + ("" if shape is None else f" {shape}")
        raise ValueError(f"one {what} is not several pictures; give a list of pictures, [image]")
    how = info if isinstance(info, Preprocessing) else info.preprocessing
    pictures = []
    for image in images:
        if not isinstance(image, Image.Image):
            array = np.asarray(image)
            if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
                raise ValueError(f"an image of {array.dtype} {array.shape} must be uint8 (H, W, 3) or (H, W)")
            image = Image.fromarray(array)
        pictures.append(resized_crop(to_rgb(image, how.resize_size), how))
    if not pictures:
        raise ValueError("there are no images")
    return normalise(np.stack(pictures), how)


def normalise(pixels: Any, how: Preprocessing) -> Any:
    """Pixels as a net takes them, float32: NumPy's arrays give such, JAX's give JAX's.

    Args:
        pixels: uint8 (..., 3).
        how: has the mean and the standard deviation of each channel.
    """
    mean, std = (np.asarray(values, np.float32) for values in (how.mean, how.std))
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


def resized_crop(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """An RGB picture as `preprocess` resizes and crops it: uint8 (input_size, input_size, 3)."""
    from PIL import Image

    image = _without_far_ends(image, how)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(how.resize_size * long / short)
    size = (how.resize_size, other) if width <= height else (other, how.resize_size)
    if size != image.size:
        method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[how.interpolation]
        image = image.resize(size, method)
    left, top = (round((length - how.input_size) / 2) for length in size)
    # Beyond the border of a picture that is smaller than the crop, Pillow gives black, as torchvision's padding does.
    return np.asarray(image.crop((left, top, left + how.input_size, top + how.input_size)))


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side becomes `side` pixels."""
    scale = side / max(size)
    width, height = (max(1, round(scale * length)) for length in size)
    return width, height


def padded(image: Image.Image, side: int, fill: int | tuple[int, ...]) -> Image.Image:
    """A picture at the top left of a square of `side` pixels; the right or the bottom has the colour `fill`."""
    from PIL import Image

    square = Image.new(image.mode, (side, side), fill)
    square.paste(image)
    return square


def _without_far_ends(image: Image.Image, how: Preprocessing) -> Image.Image:
    """The middle of a very long picture: resized whole, a line of one pixel's width would take gigabytes."""
    longest = 10 * min(image.size) * max(1, math.ceil(how.input_size / how.resize_size))
    left, top = (max(0, (length - longest) // 2) for length in image.size)
    return image.crop((left, top, image.width - left, image.height - top)) if left or top else image
