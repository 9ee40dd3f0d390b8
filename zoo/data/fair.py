"""Fair parts of a source: a sample of so many examples, or a share of each class to test on; and other labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.data.dataset import IGNORED, ArraySplit, Source, fingerprint_of


class Subset:
    """Chosen examples of a source, itself a `Source`.

    Args:
        source: of which nothing is read until an example is.
        indices: which of its examples, shape (N,).
    """

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        self._source, self._indices = source, indices
        labels = labels_of(source)
        if labels is not None:
            self.labels = labels[indices]
        fingerprint = getattr(source, "fingerprint", None)
        if fingerprint is not None:
            self.fingerprint = fingerprint_of(fingerprint, indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        return self._source[int(self._indices[index])]


def labels_of(source: Source) -> np.ndarray | None:
    """The labels of all examples, int32 (N,), of a source that has them at hand: in its attribute `labels`.

    None where it has not, and where labels are masks: these say nothing of the class of an example.
    """
    labels = getattr(source, "labels", None)
    return labels if labels is not None and labels.ndim == 1 else None


def sample(source: Source, count: int, seed: int) -> Source:
    """So many examples, drawn from all classes in proportion to their sizes, in the order that they have in the source.

    Each class is there if `count` is not less than the number of classes. The sample of a smaller count is part of that
    of a larger one. Where the source does not have its labels at hand, the examples are drawn from all alike, and the
    classes are in proportion but for chance.

    Args:
        source: of which nothing is read.
        count: number of examples, at most those of the source.
        seed: at least 0; the same one gives the same sample.

    Returns:
        An `ArraySplit` if the source is one.
    """
    order = np.random.default_rng(seed).permutation(len(source))
    labels = labels_of(source)
    if labels is not None:
        # The r-th example of a class of n comes when r/n of each class has come.
        share = _ranks(labels, order) / np.bincount(labels)[labels]
        order = order[np.argsort(share[order], kind="stable")]
    return _take(source, np.sort(order[:count]))


def split(source: Source, class_names: Sequence[str], share: float, seed: int) -> tuple[Source, Source]:
    """Two parts with no example in common, each in the order of the source; `share` of each class is in the second.

    Of no class is all in one part: the share is rounded to whole examples, but not to none and not to all. Where the
    source does not have its labels at hand, the share is that of all examples.

    Args:
        source: of which nothing is read.
        class_names: label -> name, for messages.
        share: above 0 and below 1.
        seed: at least 0; the same one gives the same parts.

    Raises:
        ValueError: if a class has, or there is, a single example.
    """
    labels = labels_of(source)
    if labels is None:
        labels, whose = np.zeros(len(source), np.int32), ["the data set"]
    else:
        whose = [f"the class {name}" for name in class_names]
    sizes = np.bincount(labels, minlength=len(whose))
    if sizes.min() < 2:
        small = whose[int(sizes.argmin())]
        raise ValueError(f"{small} has a single picture, which cannot be split into training and test")
    held_out = np.clip(np.rint(share * sizes), 1, sizes - 1)
    in_second = _ranks(labels, np.random.default_rng(seed).permutation(len(labels))) < held_out[labels]
    return _take(source, np.flatnonzero(~in_second)), _take(source, np.flatnonzero(in_second))


def _ranks(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The place of each example among those of its class, from 0, in a given order of all."""
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return ranks


class _Relabelled:
    """A source whose labels are other numbers, itself a `Source`."""

    def __init__(self, source: Source, table: np.ndarray) -> None:
        self._source, self._table = source, table

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        example = self._source[index]
        return {"image": example["image"], "label": _looked_up(self._table, np.asarray(example["label"]))}


def relabelled(source: Source, classes: np.ndarray) -> Source:
    """The examples with `classes[label]` in place of each label, of an image or of a pixel; `IGNORED` pixels stay so.

    Args:
        source: the examples.
        classes: label -> new label, int32.

    Returns:
        The source itself if nothing changes, and an `ArraySplit` if it is one.
    """
    if np.array_equal(classes, np.arange(len(classes))):
        return source
    if isinstance(source, ArraySplit):
        return ArraySplit(source.images, _looked_up(classes, source.labels))
    return _Relabelled(source, classes)


def _looked_up(classes: np.ndarray, labels: np.ndarray) -> Any:
    if labels.dtype != np.uint8:
        return classes[labels]
    of_masks = np.full(256, IGNORED, np.uint8)
    of_masks[: len(classes)] = classes
    return of_masks[labels]


def _take(source: Source, indices: np.ndarray) -> Source:
    if isinstance(source, ArraySplit):
        return ArraySplit(source.images[indices], source.labels[indices])
    return Subset(source, indices)
