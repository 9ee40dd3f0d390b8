"""Images in folders named after their classes, decoded when they are read."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from zoo.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset, DataUnavailableError
from zoo.pictures import PICTURE_SUFFIXES, read_picture

# Pillow warns of large pictures without a file's name; `read_picture` refuses what is too large by its name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageFolder:
    """The images `directory/CLASS/*` of types PNG, JPEG and WebP, a `Source`.

    An image is converted to RGB, as `zoo.pictures.to_rgb` does it; its largest centred square is resized, with
    antialiasing, to `image_size`. Labels number the class names in alphabetical order, and images are in the order of
    class and file name.

    Args:
        directory: has one folder for each class. Folders whose names begin with a dot are no classes.
        image_size: height and width in pixels that every image is brought to.

    Attributes:
        class_names: label -> name.
        ignored: how many files are in the directory and its classes, however deep, that are not used.

    Raises:
        DataUnavailableError: if there is no such directory, no class in it, or no image in a class.
        ValueError: if `image_size` is less than 1.
    """

    def __init__(self, directory: Path, image_size: int) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        if not directory.is_dir():
            raise DataUnavailableError(f"there is no directory {directory}")
        classes: list[os.DirEntry[str]] = []
        others: list[os.DirEntry[str]] = []
        for entry in os.scandir(directory):
            (classes if entry.is_dir() and not entry.name.startswith(".") else others).append(entry)
        if not classes:
            raise DataUnavailableError(f"{directory} has no folders; there must be one for each class")
        classes.sort(key=lambda entry: entry.name)
        self.class_names = tuple(folder.name for folder in classes)
        self._image_size = image_size
        self._files: list[tuple[str, int]] = []
        for label, folder in enumerate(classes):
            files = []
            for entry in os.scandir(folder):
                if entry.name.lower().endswith(PICTURE_SUFFIXES) and entry.is_file():
                    files.append(entry.path)
                else:
                    others.append(entry)
            if not files:
                raise DataUnavailableError(f"{folder.path} has no images ({', '.join(PICTURE_SUFFIXES)})")
            self._files += [(file, label) for file in sorted(files)]
        self.ignored = sum(map(_count_files, others))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """The example `index`: `"image"`, uint8 (image_size, image_size, 3), and `"label"`.

        Raises:
            UnreadablePictureError: if the image cannot be read; the message names its file.
        """
        path, label = self._files[index]
        size = (self._image_size, self._image_size)
        square = ImageOps.fit(read_picture(path, self._image_size), size, Image.Resampling.BILINEAR)
        return {"image": np.asarray(square), "label": label}


def _count_files(entry: os.DirEntry[str]) -> int:
    """How many files an entry of a folder stands for; links to folders are not followed."""
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(files) for _, _, files in os.walk(entry))


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
    used = {"train", test_directory.name}
    unused = sorted(entry.name for entry in os.scandir(directory) if entry.name not in used)
    return Dataset(
        directory.resolve().name,
        train.class_names,
        image_size,
        train,
        test,
        IMAGENET_MEAN,
        IMAGENET_STD,
        note="; ".join(
            [
                f"train: {_summary(train)}",
                f"{test_directory.name}: {_summary(test)}",
                *(["not used: " + ", ".join(unused[:5]) + ", ..." * (len(unused) > 5)] if unused else []),
            ]
        ),
    )


def _summary(folder: ImageFolder) -> str:
    counts = {"picture": len(folder), "class": len(folder.class_names), "file": folder.ignored}
    plural = {"picture": "pictures", "class": "classes", "file": "files"}
    pictures, classes, files = (f"{count:,} {name if count == 1 else plural[name]}" for name, count in counts.items())
    return f"{pictures}, {classes}" + f", {files} ignored" * (folder.ignored > 0)
