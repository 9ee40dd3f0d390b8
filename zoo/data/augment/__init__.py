"""Augmentation of batches on the device, as pure functions of a key, and what turns pixels into a net's input.

Images are (N, H, W, C), and masks (N, H, W). Each example draws its own random numbers, which depend on its place in
the batch alone, so that a batch may be split over devices; `mixup` and `cutmix` draw one ratio per batch.
`examples/augmentations.py` draws what they do.
"""

from zoo.data.augment.colour import color_jitter
from zoo.data.augment.erasing import cutout, random_erasing
from zoo.data.augment.geometry import random_crop, random_flip, random_resized_crop
from zoo.data.augment.masks import random_scale_and_crop
from zoo.data.augment.mixing import cutmix, mixup
from zoo.data.augment.pixels import normalize
from zoo.data.augment.trivial import trivial_augment

__all__ = [
    "color_jitter",
    "cutmix",
    "cutout",
    "mixup",
    "normalize",
    "random_crop",
    "random_erasing",
    "random_flip",
    "random_resized_crop",
    "random_scale_and_crop",
    "trivial_augment",
]
