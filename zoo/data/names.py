"""The names of all data sets, for what must not load one; `zoo.data.load` loads them."""

from __future__ import annotations

FOLDERS = ("image_folder", "mask_folder")  # of the user's own
NAMES = ("shapes", "cifar10", "image_folder", "scenes", "mask_folder", "oxford_iiit_pet", "voc2012")
TFDS = "tfds/"  # and the name of any other that TensorFlow Datasets (TFDS) has prepared


def is_data_set(name: str) -> bool:
    """Whether a name is that of a data set."""
    return name in NAMES or (name.startswith(TFDS) and name != TFDS)
