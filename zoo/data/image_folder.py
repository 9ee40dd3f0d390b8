"""Pictures in folders named after their classes, decoded when they are read."""

from __future__ import annotations

import copy
import os
import warnings
from collections import Counter
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from zoo.data import fair
from zoo.data.dataset import Dataset, DataUnavailableError, Source, fingerprint_of
from zoo.data.picture_index import SUFFIXES, PictureIndex, counted, describe_unused
from zoo.data.split_folders import describe_others, find_splits, find_test
from zoo.pictures import UnreadablePictureError, read_picture
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, resized_crop

# Pillow warns of large pictures without a file's name; `read_picture` refuses what is too large by its name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageFolder:
    """The pictures below the folders of a directory, a `Source`.

    Each folder is a class, and all pictures below it are of that class, however deep: `directory/CLASS/more/a.png`.
    `zoo.data.picture_index` says what is a picture, what a folder, and what is ignored.

    A picture is converted to RGB, as `zoo.pictures.to_rgb` does it; its largest centred square is resized, with
    antialiasing, to `image_size`. Labels number the class names in alphabetical order, and pictures are in the order of
    class and path.

    Args:
        directory: has one folder for each class.
        image_size: height and width in pixels that every picture is brought to.
        skip_unreadable: leave out what cannot be decoded. To know it before the first example, all pictures are decoded
            here, once: the index remembers the result until a file changes.

    Attributes:
        class_names: label -> name.
        labels: int32, shape (N,).
        ignored: kind -> number of the entries that are not used.
        skipped: paths of the pictures that cannot be read, if they are skipped.

    Raises:
        DataUnavailableError: if there is no such directory, no class in it, or no picture in a class.
        OSError: if a folder cannot be read.
        ValueError: if `image_size` is less than 1.
    """

    def __init__(self, directory: Path, image_size: int, *, skip_unreadable: bool = False) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        if not directory.is_dir():
            raise DataUnavailableError(f"there is no directory {directory}")
        index = PictureIndex(directory)
        top = index.listing()
        if not top.folders:
            raise DataUnavailableError(f"{directory} has no folders; there must be one for each class")
        self._directory = directory
        self._form: int | Preprocessing = image_size
        self.class_names = tuple(top.folders)
        self.ignored = Counter(top.ignored)
        if top.pictures:
            self.ignored["in no class"] = len(top.pictures)
        pictures: list[list[str]] = []
        for folder in top.folders:
            found, ignored = index.walk(folder)
            if not found:
                raise DataUnavailableError(f"{directory / folder} has no pictures ({', '.join(SUFFIXES)})")
            pictures.append(found)
            self.ignored += ignored
        self.skipped: list[str] = []
        if skip_unreadable:
            readable = set(index.readable(list(chain(*pictures)), image_size))
            for label, found in enumerate(pictures):
                pictures[label] = [picture for picture in found if picture in readable]
                self.skipped += [picture for picture in found if picture not in readable]
                if not pictures[label]:
                    raise DataUnavailableError(f"no picture in {directory / top.folders[label]} can be read")
        index.save()
        self._pictures = list(chain(*pictures))
        self.labels = np.repeat(np.arange(len(pictures), dtype=np.int32), list(map(len, pictures)))

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """The example `index`: `"image"`, uint8 (S, S, 3) where S is the `image_size`, and `"label"`.

        Raises:
            UnreadablePictureError: if the picture cannot be read; the message names its file.
        """
        form = self._form
        shorter_side = form if isinstance(form, int) else form.resize_size
        try:
            picture = read_picture(os.path.join(self._directory, self._pictures[index]), shorter_side)
        except UnreadablePictureError as error:
            raise UnreadablePictureError(f"{error} (--data.skip-unreadable leaves such pictures out)") from None
        if isinstance(form, int):
            image = np.asarray(ImageOps.fit(picture, (form, form), Image.Resampling.BILINEAR))
        else:
            image = resized_crop(picture, form)
        return {"image": image, "label": int(self.labels[index])}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the paths of the pictures within the directory; not of what is in their files."""
        return fingerprint_of("\n".join(self._pictures))

    def in_form(self, form: int | Preprocessing) -> ImageFolder:
        """The same pictures, brought to another `image_size`, or resized and cropped as weights want it."""
        other = copy.copy(self)
        other._form = form
        return other

    def describe(self) -> str:
        """What was found and what is not used, in a line."""
        line = f"{counted(len(self), 'picture')}, {counted(len(self.class_names), 'class', 'classes')}"
        return line + describe_unused(self.ignored, self.skipped)


def load(
    directory: Path,
    image_size: int,
    *,
    test_share: float = 0.0,
    skip_unreadable: bool = False,
    random_crops: bool = False,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> Dataset:
    """The data set whose pictures are in `directory/train/CLASS` and `directory/test/CLASS`.

    `valid` and `val` are other names of `test`, which is used if there are several. Where there is none, `test_share`
    takes that share of each class out of `directory/train/CLASS` or, without a `train`, out of `directory/CLASS`.
    Pixels are normalised with ImageNet's statistics.

    Args:
        directory: has the folders of the splits, or of the classes. Its name becomes the data set's.
        image_size: height and width in pixels of what a net sees.
        test_share: above 0 and below 1; 0 to ask for a test folder.
        skip_unreadable: see `ImageFolder`.
        random_crops: bring training pictures to 8/7 of `image_size`, so that what is cropped out of them at random and
            resized to `image_size` is less blurred.
        preprocessing: how to resize and crop test pictures, at `image_size`, where start weights say so; otherwise they
            are brought to `image_size` as training pictures are.
        seed: of the split by `test_share`.

    Raises:
        DataUnavailableError: if a split or its pictures are not there.
        OSError: if a folder cannot be read.
        ValueError: if the splits have different classes or there is a single one, if there is both a test folder and a
            `test_share`, if a class is too small to be split, or `image_size` is less than 1.
    """
    train_directory, test_directory = find_splits(
        directory, test_share, holds="the folders of the classes", share_of="each class"
    )
    folder = ImageFolder(train_directory, image_size, skip_unreadable=skip_unreadable)
    if len(folder.class_names) < 2:
        raise ValueError(
            f"{train_directory} has the single class {folder.class_names[0]}; there must be two or more to tell apart"
        )
    train_image_size = round(image_size * 8 / 7) if random_crops else image_size
    train: Source = folder.in_form(train_image_size)
    test: Source
    how = None if preprocessing is None else preprocessing.at(image_size)
    test_form = image_size if how is None else how
    notes = [f"{train_directory.name}: {folder.describe()}"]
    if test_directory is None:
        train, _ = fair.split(train, folder.class_names, test_share, seed)
        _, test = fair.split(folder.in_form(test_form), folder.class_names, test_share, seed)
        notes.append(f"{test_share:.3g} of each class, {counted(len(test), 'picture')}, for the test")
    else:
        test_folder = ImageFolder(test_directory, image_size, skip_unreadable=skip_unreadable)
        _require_same_classes(folder, train_directory, test_folder, test_directory)
        notes.append(f"{test_directory.name}: {test_folder.describe()}")
        test = test_folder.in_form(test_form)
    if train_directory != directory:
        used = {"train", *([] if test_directory is None else [test_directory.name])}
        notes += describe_others(directory, used)
    return Dataset(
        directory.resolve().name,
        folder.class_names,
        image_size,
        train,
        test,
        IMAGENET_MEAN,
        IMAGENET_STD,
        note="; ".join(notes),
        train_image_size=train_image_size if random_crops else None,
        preprocessing=how,
    )


def load_test(directory: Path, image_size: int, preprocessing: Preprocessing | None = None) -> Dataset:
    """The pictures of `directory/test/CLASS`, or of `valid` or `val` or else of `directory/CLASS`, to evaluate on.

    Args:
        directory: has the folders of the classes, or one that has. Its name becomes the data set's.
        image_size: height and width in pixels of what a net sees.
        preprocessing: how to resize and crop pictures, at `image_size`; None to resize their largest centred square.

    Returns:
        A data set whose training pictures are those to test on.

    Raises:
        DataUnavailableError: if there are no such pictures.
        OSError: if a folder cannot be read.
        ValueError: if `image_size` is less than 1.
    """
    folder = ImageFolder(find_test(directory) or directory, image_size)
    how = None if preprocessing is None else preprocessing.at(image_size)
    test = folder.in_form(image_size if how is None else how)
    names, note = folder.class_names, folder.describe()
    return Dataset(
        directory.resolve().name, names, image_size, test, test, IMAGENET_MEAN, IMAGENET_STD, note, preprocessing=how
    )


def _require_same_classes(train: ImageFolder, train_directory: Path, test: ImageFolder, test_directory: Path) -> None:
    if train.class_names != test.class_names:
        only_train = sorted(set(train.class_names) - set(test.class_names))
        only_test = sorted(set(test.class_names) - set(train.class_names))
        raise ValueError(
            f"the classes of {test_directory} must be those of {train_directory}. "
            f"Only in the former: {', '.join(only_test) or 'none'}. "
            f"Only in the latter: {', '.join(only_train) or 'none'}."
        )
