"""A data set by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.data import cifar10, image_folder, shapes, tfds_source
from zoo.data.dataset import ArraySplit, Dataset, Source


def load(
    name: str,
    directory: Path | None = None,
    *,
    image_size: int = 32,
    train_examples: int | None = None,
    test_examples: int | None = None,
) -> Dataset:
    """Loads a data set.

    Args:
        name: "shapes", "cifar10", "image_folder", or "tfds/NAME" for any other that TFDS has prepared.
        directory: where it is; None for the usual place.
        image_size: what an image folder's images are resized to.
        train_examples: use only that many training examples, the first ones; None for all.
        test_examples: use only that many test examples, the first ones; None for all.

    Raises:
        DataUnavailableError: if the data is not there or damaged, and cannot be had.
        ValueError: if there are fewer examples than asked for.
    """
    if name == "shapes":
        sizes = {"train_examples": train_examples, "test_examples": test_examples}
        return shapes.load(**{key: size for key, size in sizes.items() if size is not None})
    if name == "cifar10":
        dataset = cifar10.load(directory)
    elif name == "image_folder":
        assert directory is not None
        dataset = image_folder.load(directory, image_size)
    else:
        dataset = tfds_source.load(name.removeprefix("tfds/"), directory)
    return replace(
        dataset,
        train=_first(dataset.train, train_examples, "training"),
        test=_first(dataset.test, test_examples, "test"),
    )


def _first(source: Source, count: int | None, split: str) -> Source:
    if count is None:
        return source
    if count > len(source):
        raise ValueError(f"{count} {split} examples asked for, but there are {len(source)}")
    if isinstance(source, ArraySplit):
        return source.first(count)
    return _Prefix(source, count)


class _Prefix:
    """The first examples of a source, itself a `Source`."""

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        return self._source[index]
