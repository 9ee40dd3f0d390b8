from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from zoo.data import augment
from zoo.data.augment import trivial

HEIGHT, WIDTH = 24, 34
STRENGTHS = (-1.0, -0.4, 0.2, 2 / 3, 1.0)


def affine(*matrix: float):
    def apply(image: Image.Image) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)

    return apply


def original(operation: str, strength: float, image: Image.Image) -> Image.Image:
    """As Pillow defines it, with the ranges of torchvision's TrivialAugmentWide."""
    factor, size = 1 + 0.99 * strength, abs(strength)
    return {
        "identity": lambda image: image,
        "shear_x": affine(1, 0.99 * strength, 0, 0, 1, 0),
        "shear_y": affine(1, 0, 0, 0.99 * strength, 1, 0),
        "translate_x": affine(1, 0, 32 * strength, 0, 1, 0),
        "translate_y": affine(1, 0, 0, 0, 1, 32 * strength),
        "rotate": lambda image: image.rotate(-135 * strength, Image.Resampling.BILINEAR),
        "brightness": lambda image: ImageEnhance.Brightness(image).enhance(factor),
        "saturation": lambda image: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda image: ImageEnhance.Contrast(image).enhance(factor),
        "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(factor),
        "posterize": lambda image: ImageOps.posterize(image, 8 - round(6 * size)),
        "solarize": lambda image: ImageOps.solarize(image, 255 - 255 * size),
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
    }[operation](image)


TOLERANCES = dict.fromkeys(("identity", "posterize", "solarize", "equalize"), 0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Of uneven brightness in each channel, and not too rough to be interpolated."""
    noise = np.random.default_rng(0).integers(30, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5))).astype(int)
    return (smooth * [1, 0.8, 0.6] + np.arange(WIDTH)[:, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def results(image) -> dict[str, np.ndarray]:
    """operation -> the image at each of the `STRENGTHS`."""
    operations, strengths = np.divmod(np.arange(len(trivial.OPERATIONS) * len(STRENGTHS)), len(STRENGTHS))
    images = np.broadcast_to(image, (len(operations), *image.shape))
    changed = jax.jit(trivial.apply)(images, operations, np.float32(STRENGTHS)[strengths])
    assert changed.dtype == np.uint8
    return dict(zip(trivial.OPERATIONS, np.asarray(changed).reshape(-1, len(STRENGTHS), *image.shape), strict=True))


@pytest.mark.parametrize("operation", trivial.OPERATIONS)
def test_each_operation_is_that_of_pillow(image, results, operation):
    for strength, result in zip(STRENGTHS, results[operation], strict=True):
        expected = np.asarray(original(operation, strength, Image.fromarray(image)))
        difference = np.abs(result.astype(int) - expected.astype(int))
        # Pillow cuts decimals off, and what lies on the border of an image by rounding alone may be in or out.
        assert (difference > TOLERANCES.get(operation, 2)).mean() <= (0.01 if operation == "rotate" else 0), strength
        if operation in ("shear_x", "shear_y", "rotate", "sharpness", "saturation"):
            assert (result != image).any()


def test_the_smooth_image_is_that_of_pillow():
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    expected = Image.fromarray(noise).filter(ImageFilter.SMOOTH)
    np.testing.assert_array_equal(trivial._smooth(jnp.float32(noise)[None])[0], expected)


def test_one_colour_has_no_contrast_to_stretch():
    images = np.full((2, 20, 20, 3), 77, np.uint8)
    operations = [trivial.OPERATIONS.index(name) for name in ("autocontrast", "equalize")]
    np.testing.assert_array_equal(trivial.apply(images, np.array(operations), np.ones(2, np.float32)), images)


def test_every_operation_strength_and_direction_is_as_likely(monkeypatch):
    monkeypatch.setattr(trivial, "apply", lambda images, operations, strengths: (operations, strengths))
    images = np.zeros((14 * 31 * 100, 1, 1, 3), np.uint8)
    operations, strengths = map(np.asarray, augment.trivial_augment(jax.random.key(0), images))
    counts = np.bincount(operations)
    assert (len(counts), counts.min() > 2800, counts.max() < 3400) == (14, True, True)
    levels, counts = np.unique(np.rint(strengths * 30), return_counts=True)
    np.testing.assert_array_equal(levels, np.arange(-30, 31))
    assert abs(counts[levels < 0].sum() - counts[levels > 0].sum()) < 1000
    assert counts[levels == 0] == pytest.approx(14 * 100, rel=0.1)
    together = np.unique(np.stack([operations, np.rint(strengths * 30)]), axis=1, return_counts=True)[1]
    assert (len(together), together.min() > 20, together.max() < 150) == (14 * 61, True, True)


def test_only_integer_pixels_have_tables():
    with pytest.raises(ValueError, match="takes uint8 images, not float32"):
        augment.trivial_augment(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
