"""Splits that are held in memory: what they give, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.dataset import ArraySplit

IMAGES, MASKS = np.zeros((2, 4, 6, 3), np.uint8), np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
CLASSES = np.array([7, 9], np.int32)


def test_an_example_has_a_class() -> None:
    split = ArraySplit(IMAGES, CLASSES)
    assert len(split) == 2
    assert split[1]["label"] == 9
    assert type(split[1]["label"]) is int
    assert split[1]["image"].shape == (4, 6, 3)


def test_an_example_has_a_mask() -> None:
    label = ArraySplit(IMAGES, MASKS)[1]["label"]
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, MASKS[1])


@pytest.mark.parametrize("labels", [CLASSES, MASKS])
def test_the_fingerprint_is_of_images_and_labels(labels: np.ndarray) -> None:
    fingerprints = {
        ArraySplit(images, other).fingerprint for images in (IMAGES, IMAGES + 1) for other in (labels, 1 + labels)
    }
    assert len(fingerprints) == 4
    assert ArraySplit(IMAGES.copy(), labels.copy()).fingerprint in fingerprints


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(float), MASKS, r"images must be uint8 \(N, H, W, 3\), not float64 \(2, 4, 6, 3\)"),
        (IMAGES[..., :1], CLASSES, r"images must be uint8 \(N, H, W, 3\), not uint8 \(2, 4, 6, 1\)"),
        (IMAGES[0], MASKS[0], r"images must be .*, not uint8 \(4, 6, 3\)"),
        (IMAGES, MASKS.astype(np.int32), r"must be int32 \(2,\) or uint8 \(2, 4, 6\), not int32 \(2, 4, 6\)"),
        (IMAGES, MASKS[:1], r"labels must be .* or uint8 \(2, 4, 6\), not uint8 \(1, 4, 6\)"),
        (IMAGES, CLASSES.astype(np.uint8), r"labels must be int32 \(2,\) or .*, not uint8 \(2,\)"),
        (IMAGES, CLASSES[:1], r"labels must be int32 \(2,\) or .*, not int32 \(1,\)"),
    ],
)
def test_other_shapes_and_dtypes_are_errors(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArraySplit(images, labels)
