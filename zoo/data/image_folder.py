"""Images in folders named after their classes, decoded when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from zoo.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset, DataUnavailableError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class ImageFolder:
    """The images `directory/CLASS/*` of types PNG, JPEG and WebP, a `Source`.

    An image is converted to RGB; of it the largest centred square is resized, with antialiasing, to `image_size`.
    Labels number the class names in alphabetical order, and images are in the order of class and file name.

    Args:
        directory: has one folder for each class. Files beside these, and folders whose names begin with a dot, are
            not looked at.
        image_size: height and width in pixels that every image is brought to.

    Attributes:
        class_names: label -> name.

    Raises:
        DataUnavailableError: if there is no such directory, no class in it, or no image in a class.
        ValueError: if `image_size` is less than 1.
    """

    def __init__(self, directory: Path, image_size: int) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        if not directory.is_dir():
            raise DataUnavailableError(f"there is no directory {directory}")
        classes = sorted(entry for entry in directory.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if not classes:
            raise DataUnavailableError(f"{directory} has no folders; there must be one for each class")
        self.class_names = tuple(folder.name for folder in classes)
        self._image_size = image_size
        self._files: list[tuple[Path, int]] = []
        for label, folder in enumerate(classes):
            files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
            if not files:
                raise DataUnavailableError(f"{folder} has no images ({', '.join(_SUFFIXES)})")
            self._files += [(file, label) for file in files]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """The example `index`: `"image"`, uint8 (image_size, image_size, 3), and `"label"`.

        Raises:
            OSError: if the image can not be read; the message names its file.
        """
        path, label = self._files[index]
        try:
            with Image.open(path) as image:
                size = (self._image_size, self._image_size)
                square = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.BILINEAR)
        except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error and more beside OSError.
            raise OSError(f"can not read the image {path}: {error}") from error
        return {"image": np.asarray(square), "label": label}


def load(directory: Path, image_size: int) -> Dataset:
    """The data set whose images are in `directory/train/CLASS` and `directory/test/CLASS` (or `val/CLASS`).

    Pixels are normalised with ImageNet's statistics.

    Args:
        directory: has the folders of the two splits. Its name becomes the data set's.
        image_size: height and width in pixels that every image is brought to.

    Raises:
        DataUnavailableError: if a split or its images are not there.
        ValueError: if the splits have different classes, or `image_size` is less than 1.
    """
    test_directory = directory / "test" if (directory / "test").is_dir() else directory / "val"
    for split in (directory, directory / "train", test_directory):
        if not split.is_dir():
            or_test = f" (nor {directory / 'test'})" if split == test_directory else ""
            raise DataUnavailableError(f"there is no directory {split}{or_test}")
    train, test = ImageFolder(directory / "train", image_size), ImageFolder(test_directory, image_size)
    if train.class_names != test.class_names:
        only_train = sorted(set(train.class_names) - set(test.class_names))
        only_test = sorted(set(test.class_names) - set(train.class_names))
        raise ValueError(
            f"the classes of {test_directory} must be those of {directory / 'train'}. "
            f"Only in the former: {', '.join(only_test) or 'none'}. "
            f"Only in the latter: {', '.join(only_train) or 'none'}."
        )
    return Dataset(directory.resolve().name, train.class_names, image_size, train, test, IMAGENET_MEAN, IMAGENET_STD)
