"""Data sets of labelled images that TensorFlow Datasets (TFDS) has prepared as ArrayRecord, without TensorFlow.

The examples stay on disk: a split is TFDS's own random-access source, decoded when an example is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Dataset, DataUnavailableError, Source
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def load(name: str, directory: Path | None = None) -> Dataset:
    """An image-classification data set that TFDS has prepared.

    The test split is TFDS's `test`, or `validation` where there is no `test`. Pixels are normalised with ImageNet's
    statistics.

    Args:
        name: as TFDS spells it, with its configuration, if it has one: `"imagenette/160px"`.
        directory: TFDS's data directory, below which the prepared data set is; None for TFDS's default.

    Raises:
        DataUnavailableError: if the data set is not there, damaged, or not stored as ArrayRecord.
        ValueError: if it does not have the splits and features of labelled square RGB images.
    """
    builder = open_prepared(name, directory or default_directory())
    features, splits = builder.info.features, builder.info.splits
    test_split = "test" if "test" in splits else "validation"
    if "train" not in splits or test_split not in splits:
        raise ValueError(f"{name} has the splits {', '.join(sorted(splits))}; needed are train, and test or validation")
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
        raise ValueError(
            f"{name} has the features {', '.join(sorted(features))}; needed are an image and a class label, "
            "by the names of image and label"
        )
    train, test = (_Records(builder, split) for split in ("train", test_split))
    size = _image_size(name, train)
    if _image_size(name, test) != size:
        raise ValueError(f"{name}: training images are {size} pixels wide, test images {_image_size(name, test)}")
    return Dataset(name, tuple(features["label"].names), size, train, test, IMAGENET_MEAN, IMAGENET_STD)


def default_directory() -> Path:
    """Where TFDS keeps its data sets unless told otherwise.

    The rule is that of `tfds.core.constants.get_default_data_dir`, repeated because importing TFDS takes a second.
    """
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def open_prepared(name: str, directory: Path) -> Any:
    """The TFDS builder of a data set that lies prepared in `directory`. The network is not touched.

    Raises:
        DataUnavailableError: if the data set is not there, damaged, or not stored as ArrayRecord.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=directory)
    except tfds.core.DatasetNotFoundError:  # Its own message lists all of TFDS.
        raise DataUnavailableError(f"TFDS knows no data set {name!r}, and there is none in {directory}") from None
    except Exception as error:  # JSON, protobuf and TFDS share no class of errors.
        raise damaged(_directory_of(name, directory), error) from None
    if not (
        builder.data_path.exists() and builder.is_prepared()
    ):  # is_prepared alone logs a warning if nothing is there.
        raise DataUnavailableError(
            f"The TFDS data set {name!r} is not prepared in {builder.data_path}. Prepare it once (for most data sets "
            f"TFDS needs TensorFlow for that) with tensorflow_datasets.builder({name!r}, data_dir={str(directory)!r}, "
            "file_format='array_record').download_and_prepare(), or name another directory with --data.directory."
        )
    formats = sorted(file_format.value for file_format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise DataUnavailableError(
            f"The TFDS data set in {builder.data_path} was prepared as {', '.join(formats) or 'an unknown format'}, "
            "which cannot be read without TensorFlow. Name another directory with --data.directory, where the data "
            "set is prepared (or will be) as array_record."
        )
    return builder


def damaged(prepared: Path, error: Exception) -> DataUnavailableError:
    """What to raise, in one line, if the files of a prepared data set cannot be read."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return DataUnavailableError(
        f"The data set in {prepared} is damaged ({reason}). Remove that directory to have it prepared again."
    )


def _directory_of(name: str, directory: Path) -> Path:
    """The directory of the newest version of a data set, where its description cannot be read."""
    descriptions = sorted((directory / name).rglob("dataset_info.json"))
    return descriptions[-1].parent if descriptions else directory / name


class _Records:
    """A split of a prepared data set, a `Source` whose errors name its files."""

    def __init__(self, builder: Any, split: str) -> None:
        self._directory = Path(builder.data_path)
        first, *others = sorted(builder.info.splits[split].filenames)
        self._files = first + (f" and {len(others)} more" if others else "")
        try:
            self._records = builder.as_data_source(split)
        except Exception as error:
            raise self._damaged(error) from None

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        try:
            return self._records[index]
        except Exception as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataUnavailableError:  # ArrayRecord, protobuf and PNG share no class.
        return damaged(self._directory, ValueError(f"{self._files}: {error}"))


def _image_size(name: str, source: Source) -> int:
    """Height and width of the first image, which stands for all of them."""
    image = source[0]["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3:
        raise ValueError(
            f"{name}: images must be square and RGB, all of one size: uint8 (S, S, 3). "
            f"The first one is {image.dtype} {image.shape}."
        )
    return image.shape[0]
