"""Pictures in a folder `images` with masks of the same names in a folder `masks`, decoded when they are read."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.data import fair
from zoo.data.dataset import IGNORED, Dataset, DataUnavailableError, Source, fingerprint_of
from zoo.data.picture_index import SUFFIXES, PictureIndex, counted, describe_unused
from zoo.data.split_folders import describe_others, find_splits, find_test
from zoo.pictures import read_indices, read_mask, read_picture
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, fitted_size, padded

CLASSES_FILE = "classes.txt"
PADDING = tuple(round(255 * mean) for mean in IMAGENET_MEAN)  # the colour that is about zero when it is normalised


class MaskedPictures:
    """Pictures, and masks with the class of each of their pixels, a `Source`.

    A picture is converted to RGB, as `zoo.pictures.to_rgb` does it. Its longer side is resized to `image_size`,
    bilinearly and with antialiasing; the right or the bottom, where something is missing then, is filled with
    ImageNet's mean colour. So no pixel is lost. The mask is resized by the nearest pixel and filled with `IGNORED`.

    Args:
        directory: where the files are.
        pictures: their paths within the directory.
        masks: the path of each picture's mask, a PNG as `zoo.pictures.read_mask` takes it.
        image_size: height and width in pixels that every picture is brought to.
        classes: value in a mask -> class of the pixel, or `IGNORED`. Another value is an error.

    Raises:
        ValueError: if `image_size` is less than 1.
    """

    def __init__(
        self,
        directory: Path,
        pictures: Sequence[str],
        masks: Sequence[str],
        image_size: int,
        classes: Mapping[int, int],
    ) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, not {image_size}")
        self._directory, self._pictures, self._masks = directory, pictures, masks
        self._image_size, self._classes = image_size, dict(classes)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """The example `index`: `"image"`, uint8 (S, S, 3) where S is the `image_size`, and `"label"`, uint8 (S, S).

        Raises:
            UnreadablePictureError: if a file cannot be read, or is no mask of its picture; the message names it.
            ValueError: if the mask has a value that is no class.
        """
        picture_path = os.path.join(self._directory, self._pictures[index])
        mask_path = os.path.join(self._directory, self._masks[index])
        picture = read_picture(picture_path, self._image_size)
        mask = read_mask(mask_path, picture_path)
        for value, count in enumerate(mask.histogram()):
            if count and value not in self._classes:
                raise ValueError(f"the mask {mask_path} has {counted(count, 'pixel')} of {value}, {self._not_known()}")
        side, size = self._image_size, fitted_size(mask.size, self._image_size)
        image = padded(picture.resize(size, Image.Resampling.BILINEAR), side, PADDING)
        classes = mask.point([self._classes.get(value, IGNORED) for value in range(256)])
        label = padded(classes.resize(size, Image.Resampling.NEAREST), side, IGNORED)
        return {"image": np.asarray(image), "label": np.asarray(label)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the paths of the pictures within the directory; not of what is in their files."""
        return fingerprint_of("\n".join(self._pictures))

    def _not_known(self) -> str:
        ignored = [value for value, label in self._classes.items() if label == IGNORED]
        known = sorted(value for value in self._classes if value not in ignored)
        return f"which is no class: these are {known[0]} to {known[-1]}, and {', '.join(map(str, ignored))} is ignored"


@dataclass(frozen=True)
class _Pairs:
    """What was found in the directory of a split: pictures and their masks, by their paths within it."""

    directory: Path
    pictures: list[str]
    masks: list[str]
    ignored: Counter[str]
    skipped: list[str] = field(default_factory=list)

    def describe(self) -> str:
        found = counted(len(self.pictures), "picture")
        return f"{self.directory.name}: {found}{describe_unused(self.ignored, self.skipped)}"


def load(
    directory: Path, image_size: int, *, test_share: float = 0.0, skip_unreadable: bool = False, seed: int = 0
) -> Dataset:
    """The data set of `directory/train` and `directory/test`, each with the folders `images` and `masks`.

    `valid` and `val` are other names of `test`, which is used if there are several. Where there is none, `test_share`
    takes that share of the pictures of `directory/train` or, without a `train`, of `directory` itself.

    The mask of `images/NAME.jpg`, or of a picture of any other format, is `masks/NAME.png`: the index of the class of
    each pixel, in 8-bit grey or with a palette, and 255 where there is none. `NAME` may have folders. A line of
    `directory/classes.txt` names a class, from index 0 on; without that file, all masks are read here for the largest
    index. `MaskedPictures` says how pictures are brought to one size. Pixels are normalised with ImageNet's statistics.

    Args:
        directory: has the folders of the splits, or the pictures. Its name becomes the data set's.
        image_size: height and width in pixels of what a net sees.
        test_share: above 0 and below 1; 0 to ask for a test folder.
        skip_unreadable: leave out pairs of which a file cannot be decoded. To know it before the first example, all are
            decoded here, once: the index remembers the result until a file changes.
        seed: of the split by `test_share`.

    Raises:
        DataUnavailableError: if a split or its pictures are not there.
        OSError: if a folder or `classes.txt` cannot be read.
        UnreadablePictureError: if a mask cannot be read that must be for the number of classes.
        ValueError: if there is a picture without a mask or a mask without a picture, if there are fewer than two
            classes or more than 255, if a name is empty or there twice, if there is both a test folder and a
            `test_share`, if a single picture cannot be split, or if `image_size` is less than 1.
    """
    train_directory, test_directory = find_splits(
        directory, test_share, holds="the folders images and masks", share_of="the pictures"
    )
    found = [
        _find_pairs(folder, image_size, skip_unreadable)
        for folder in (train_directory, test_directory)
        if folder is not None
    ]
    class_names, class_note = _class_names(directory, found)
    classes = classes_as_numbered(len(class_names))
    train: Source
    test: Source
    train, test = (
        MaskedPictures(pairs.directory, pairs.pictures, pairs.masks, image_size, classes)
        for pairs in (found[0], found[-1])
    )
    notes = [pairs.describe() for pairs in found]
    used = {CLASSES_FILE, "images", "masks"}
    if test_directory is None:
        train, test = fair.split(train, class_names, test_share, seed)
        notes.append(f"{test_share:.3g} of them, {counted(len(test), 'picture')}, for the test")
    if train_directory != directory:
        used = {CLASSES_FILE, *(pairs.directory.name for pairs in found)}
    notes += [class_note, padding_note(image_size), *describe_others(directory, used)]
    return Dataset(
        directory.resolve().name,
        class_names,
        image_size,
        train,
        test,
        IMAGENET_MEAN,
        IMAGENET_STD,
        note="; ".join(notes),
        task="segmentation",
    )


def load_test(directory: Path, image_size: int, class_names: Sequence[str]) -> Dataset:
    """The pictures and masks of `directory/test`, or of `valid` or `val` or else of `directory` itself, to evaluate on.

    Args:
        directory: has the folders `images` and `masks`, or one that has. Its name becomes the data set's.
        image_size: height and width in pixels of what a net sees.
        class_names: those of the net, which the indices in the masks stand for where there is no
            `directory/classes.txt`.

    Returns:
        A data set whose training pictures are those to test on.

    Raises:
        DataUnavailableError: if there are no such pictures.
        OSError: if a folder or `classes.txt` cannot be read.
        ValueError: if there is a picture without a mask or a mask without a picture, if `classes.txt` has fewer than
            two names or more than 255, if one is empty or there twice, or if `image_size` is less than 1.
    """
    if not directory.is_dir():
        raise DataUnavailableError(f"there is no directory {directory}")
    pairs = _find_pairs(find_test(directory) or directory, image_size, skip_unreadable=False)
    names, class_note = _names_in_file(directory) or (
        tuple(class_names),
        f"no {CLASSES_FILE}: the {len(class_names)} classes of the net, in their order",
    )
    classes = classes_as_numbered(len(names))
    test = MaskedPictures(pairs.directory, pairs.pictures, pairs.masks, image_size, classes)
    return Dataset(
        directory.resolve().name,
        names,
        image_size,
        test,
        test,
        IMAGENET_MEAN,
        IMAGENET_STD,
        note="; ".join((pairs.describe(), class_note, padding_note(image_size))),
        task="segmentation",
    )


def classes_as_numbered(count: int) -> dict[int, int]:
    """The `classes` of `MaskedPictures` whose masks have the labels themselves, of so many classes, and `IGNORED`."""
    return {index: index for index in range(count)} | {IGNORED: IGNORED}


def padding_note(image_size: int) -> str:
    """What to say of how `MaskedPictures` brings pictures to one size."""
    return f"padded, not cropped, to {image_size} x {image_size}"


def _find_pairs(directory: Path, image_size: int, skip_unreadable: bool) -> _Pairs:
    for folder in (directory / "images", directory / "masks"):
        if not folder.is_dir():
            raise DataUnavailableError(
                f"there is no directory {folder}; a picture images/NAME.jpg has its mask in masks/NAME.png"
            )
    index = PictureIndex(directory)
    pictures, ignored = index.walk("images")
    masks, ignored_masks = index.walk("masks")
    ignored += ignored_masks
    if not pictures:
        raise DataUnavailableError(f"{directory / 'images'} has no pictures ({', '.join(SUFFIXES)})")
    of_picture, of_mask = _by_name(pictures), _by_name([mask for mask in masks if mask.lower().endswith(".png")])
    if others := len(masks) - len(of_mask):
        ignored["mask that is no PNG" if others == 1 else "masks that are no PNG"] = others
    problems = []
    for what, needed, these, those in (
        ("picture", "mask (masks/NAME.png)", of_picture, of_mask),
        ("mask", "picture", of_mask, of_picture),
    ):
        alone = [these[name] for name in these if name not in those]
        if alone:
            listed = ", ".join(alone[:3]) + ", ..." * (len(alone) > 3)
            problems.append(f"{counted(len(alone), what)} without a {needed}: {listed}")
    if problems:
        raise ValueError(f"{directory} has " + " and ".join(problems))
    skipped: list[str] = []
    if skip_unreadable:
        readable = set(index.readable([*pictures, *of_mask.values()], image_size))
        skipped = [path for path in [*pictures, *of_mask.values()] if path not in readable]
        of_picture = {name: path for name, path in of_picture.items() if path in readable and of_mask[name] in readable}
        if not of_picture:
            raise DataUnavailableError(f"no picture in {directory} can be read together with its mask")
    index.save()
    return _Pairs(directory, list(of_picture.values()), [of_mask[name] for name in of_picture], ignored, skipped)


def _by_name(paths: Sequence[str]) -> dict[str, str]:
    """The paths by their names: without the first folder, and without what tells the format."""
    named: dict[str, str] = {}
    for path in paths:
        name = os.path.splitext(path.split(os.sep, 1)[1])[0]
        if name in named:
            raise ValueError(f"{named[name]} and {path} have the same name; a mask must be of one picture")
        named[name] = path
    return named


def _names_in_file(directory: Path) -> tuple[tuple[str, ...], str] | None:
    """The names of the classes that `classes.txt` has, and what to say of them; None if there is no such file."""
    file = directory / CLASSES_FILE
    if not file.exists():
        return None
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8-sig").rstrip().split("\n"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be UTF-8, a name a line: {error}") from None
    for number, name in enumerate(names, 1):
        if not name or name in names[: number - 1]:
            raise ValueError(f"line {number} of {file} is {name!r}; each line must name a class of its own")
    if not 2 <= len(names) <= IGNORED:
        raise ValueError(f"{file} has {counted(len(names), 'name')}; there must be from 2 to {IGNORED} classes")
    return names, f"{len(names)} classes, which {CLASSES_FILE} names"


def _class_names(directory: Path, found: Sequence[_Pairs]) -> tuple[tuple[str, ...], str]:
    """The names of the classes, and what to say of them."""
    if named := _names_in_file(directory):
        return named
    masks = [pairs.directory / mask for pairs in found for mask in pairs.masks]
    print(f"Reading {counted(len(masks), 'mask')} in {directory}: there is no {CLASSES_FILE}", file=sys.stderr)
    with ThreadPoolExecutor() as pool:
        largest = max(pool.map(_largest_index, masks))
    if largest < 1:
        raise ValueError(
            f"all pixels of the masks in {directory} are of class 0, or 255, which is ignored; "
            "there must be two classes or more to tell apart"
        )
    count = largest + 1
    names = tuple(f"class {index}" for index in range(count))
    return names, f"no {CLASSES_FILE}: {count} classes, up to the largest index in the masks, all of which were read"


def _largest_index(path: Path) -> int:
    """The largest index of a class in a mask; 0 if all is ignored."""
    counts = read_indices(path).histogram()
    return max((index for index in range(IGNORED) if counts[index]), default=0)
