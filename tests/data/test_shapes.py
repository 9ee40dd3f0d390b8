"""The embedded data set `shapes`: reproducible, balanced, legible, and not to be learnt by a linear classifier."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data import shapes
from zoo.data.dataset import ArraySplit, Dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shapes.load(train_examples=5000, test_examples=2000)


@pytest.fixture(scope="module")
def drawn() -> shapes.Shapes:
    return shapes.generate(1000, seed=3)


def pixels(split: ArraySplit) -> np.ndarray:
    return split.images.reshape(len(split), -1).astype(np.float32) / 255


def outlines(drawn: shapes.Shapes) -> np.ndarray:
    """The mean mask of each class, after moving each mask's centre of mass to the image's."""
    sums = np.zeros((10, 32, 32))
    for mask, label in zip(drawn.masks > 0, drawn.labels, strict=True):
        offset = 15 - np.argwhere(mask).mean(axis=0).round().astype(int)
        sums[label] += np.roll(mask, offset, axis=(0, 1))
    return sums / np.bincount(drawn.labels)[:, None, None]


def test_forms(drawn: shapes.Shapes) -> None:
    assert (drawn.images.shape, drawn.images.dtype) == ((1000, 32, 32, 3), np.uint8)
    assert (drawn.labels.shape, drawn.labels.dtype) == ((1000,), np.int32)
    assert (drawn.masks.shape, drawn.masks.dtype) == ((1000, 32, 32), np.uint8)
    assert len(set(shapes.CLASS_NAMES)) == 10


def test_the_same_seed_draws_the_same_images(drawn: shapes.Shapes) -> None:
    again, other = shapes.generate(1000, seed=3), shapes.generate(1000, seed=4)
    for name in ("images", "labels", "masks"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(again, name))
        assert not np.array_equal(getattr(drawn, name), getattr(other, name))


def test_known_answer() -> None:
    # The data set must not change under its users' feet. Pixels are compared coarsely, since sines and cosines may
    # round otherwise elsewhere.
    small = shapes.generate(20, seed=0)
    assert small.labels.tolist() == [4, 9, 6, 2, 3, 6, 3, 1, 0, 8, 0, 2, 7, 5, 8, 7, 4, 9, 1, 5]
    quarters = small.images.reshape(20, 2, 16, 2, 16, 3).mean(axis=(2, 4, 5))
    expected = [[[53.3, 50.1], [39.6, 35.9]], [[56.4, 79.7], [64.3, 65.0]], [[100.0, 96.0], [99.9, 108.0]]]
    np.testing.assert_allclose(quarters[:3], expected, atol=0.5)


@pytest.mark.parametrize("num_examples", [1, 9, 25, 1000])
def test_classes_are_balanced_and_shuffled(num_examples: int) -> None:
    labels = shapes.generate(num_examples).labels
    counts = np.bincount(labels, minlength=10)
    assert counts.max() - counts.min() <= 1
    assert num_examples == 1 or np.any(np.diff(labels) < 0)


def test_masks_hold_the_label_and_a_sensible_part_of_the_image(drawn: shapes.Shapes) -> None:
    inside = drawn.masks > 0
    np.testing.assert_array_equal(drawn.masks, inside * (drawn.labels + 1)[:, None, None])
    coverage = inside.mean(axis=(1, 2))
    assert coverage.min() > 0.04
    assert coverage.max() < 0.4


def test_shapes_stay_inside_the_image(drawn: shapes.Shapes) -> None:
    border = np.ones((32, 32), bool)
    border[1:-1, 1:-1] = False
    assert not drawn.masks[:, border].any()


def test_shapes_stand_out_from_the_background(drawn: shapes.Shapes) -> None:
    inside = drawn.masks > 0
    lightness = drawn.images.mean(axis=3)
    contrast = [abs(image[mask].mean() - image[~mask].mean()) for image, mask in zip(lightness, inside, strict=True)]
    assert min(contrast) > 0.15 * 255


def test_a_mirrored_shape_is_of_its_own_class(drawn: shapes.Shapes) -> None:
    other = shapes.generate(1000, seed=4)
    mirrored = outlines(shapes.Shapes(other.images, other.labels, other.masks[:, :, ::-1]))
    distances = np.square(mirrored[:, None] - outlines(drawn)[None]).sum(axis=(2, 3))
    assert distances.argmin(axis=1).tolist() == list(range(10))


def test_load(dataset: Dataset) -> None:
    assert (dataset.name, dataset.image_size, dataset.class_names) == ("shapes", 32, shapes.CLASS_NAMES)
    assert isinstance(dataset.train, ArraySplit)
    assert isinstance(dataset.test, ArraySplit)
    assert (len(dataset.train), len(dataset.test)) == (5000, 2000)


def test_statistics_are_those_of_the_training_images(dataset: Dataset) -> None:
    assert isinstance(dataset.train, ArraySplit)
    images = dataset.train.images / np.float32(255)
    np.testing.assert_allclose(dataset.mean, images.mean(axis=(0, 1, 2)), atol=0.01)
    np.testing.assert_allclose(dataset.std, images.std(axis=(0, 1, 2)), atol=0.01)


def test_no_image_is_drawn_twice() -> None:
    dataset = shapes.load(train_examples=300, test_examples=300)
    images = {split[index]["image"].tobytes() for split in (dataset.train, dataset.test) for index in range(300)}
    assert len(images) == 600


def test_a_linear_classifier_does_not_suffice(dataset: Dataset) -> None:
    train, test = dataset.train, dataset.test
    assert isinstance(train, ArraySplit)
    assert isinstance(test, ArraySplit)
    inputs = pixels(train)
    mean = inputs.mean(axis=0)
    inputs -= mean
    targets = np.eye(10, dtype=np.float32)[train.labels] - 0.1
    ridge = 1000 * np.eye(inputs.shape[1], dtype=np.float32)
    weights = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets)
    accuracy = np.mean(np.argmax((pixels(test) - mean) @ weights, axis=1) == test.labels)
    assert 0.12 < accuracy < 0.6


@pytest.mark.parametrize("num_examples", [0, -5])
def test_no_examples_is_an_error(num_examples: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {num_examples}"):
        shapes.generate(num_examples)
    with pytest.raises(ValueError, match=f"at least 1, not {num_examples}"):
        shapes.load(test_examples=num_examples, train_examples=10)


def test_a_negative_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        shapes.generate(10, seed=-1)
