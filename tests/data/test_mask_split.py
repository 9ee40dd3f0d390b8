"""Splits of images and masks: what they give, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.mask_split import MaskSplit

IMAGES, MASKS = np.zeros((2, 4, 6, 3), np.uint8), np.arange(48, dtype=np.uint8).reshape(2, 4, 6)


def test_examples() -> None:
    split = MaskSplit(IMAGES, MASKS)
    assert len(split) == 2
    example = split[1]
    assert set(example) == {"image", "mask"}
    np.testing.assert_array_equal(example["mask"], MASKS[1])
    assert example["image"].shape == (4, 6, 3)


def test_the_fingerprint_is_of_images_and_masks() -> None:
    fingerprints = {
        MaskSplit(images, masks).fingerprint for images in (IMAGES, IMAGES + 1) for masks in (MASKS, 1 + MASKS)
    }
    assert len(fingerprints) == 4
    assert MaskSplit(IMAGES.copy(), MASKS.copy()).fingerprint in fingerprints


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (IMAGES.astype(float), MASKS, r"images must be uint8 \(N, H, W, 3\), not float64 \(2, 4, 6, 3\)"),
        (IMAGES[..., :1], MASKS, r"images must be uint8 \(N, H, W, 3\), not uint8 \(2, 4, 6, 1\)"),
        (IMAGES[0], MASKS[0], r"images must be .*, not uint8 \(4, 6, 3\)"),
        (IMAGES, MASKS.astype(np.int32), r"masks must be uint8 \(2, 4, 6\), not int32 \(2, 4, 6\)"),
        (IMAGES, MASKS[:1], r"masks must be uint8 \(2, 4, 6\), not uint8 \(1, 4, 6\)"),
    ],
)
def test_other_shapes_and_dtypes_are_errors(images: np.ndarray, masks: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskSplit(images, masks)
