"""The embedded data set `scenes`: reproducible, masks and boxes that are right, and not to be learnt from colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.data import scenes
from zoo.data.dataset import IGNORED, ArraySplit, Dataset

CLASSES = len(scenes.CLASS_NAMES)
ARRAYS = ("images", "masks", "instances", "labels", "boxes")
DISCS = scenes.DISC_ON_GROUND, scenes.DISC_ON_OBJECT


@pytest.fixture(scope="module")
def drawn() -> scenes.Scenes:
    return scenes.generate(1000, seed=3)


def discs_of(drawn: scenes.Scenes, label: int) -> tuple[np.ndarray, np.ndarray]:
    """The 11x11 pixels around each disc of this class: their colours, and their instances, -1 for the disc itself."""
    example, thing = np.nonzero(drawn.labels == label)
    corner = drawn.boxes[example, thing].reshape(-1, 2, 2).sum(1) // 2 - 5
    columns, rows = (corner[:, axis, None] + np.arange(11) for axis in range(2))
    place = example[:, None, None], rows[:, :, None], columns[:, None, :]
    instances = drawn.instances[place].astype(int)
    return drawn.images[place], np.where(instances == thing[:, None, None] + 1, -1, instances)


def mean_iou(predicted: np.ndarray, masks: np.ndarray) -> float:
    is_valid = masks != IGNORED
    pairs = CLASSES * masks[is_valid].astype(int) + predicted[is_valid]
    confusion = np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    correct = np.diag(confusion)
    return float(np.mean(correct / (confusion.sum(0) + confusion.sum(1) - correct)))


def test_forms(drawn: scenes.Scenes) -> None:
    forms = {
        "images": ((1000, 64, 64, 3), np.uint8),
        "masks": ((1000, 64, 64), np.uint8),
        "instances": ((1000, 64, 64), np.uint8),
        "labels": ((1000, 13), np.int32),
        "boxes": ((1000, 13, 4), np.int32),
    }
    for name, form in forms.items():
        assert (getattr(drawn, name).shape, getattr(drawn, name).dtype) == form


def test_the_same_seed_draws_the_same_scenes() -> None:
    first, again, other = (scenes.generate(50, seed=seed) for seed in (3, 3, 4))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_known_answer() -> None:
    # The data set must not change under its users' feet. Pixels are compared coarsely, since sines and cosines may
    # round otherwise elsewhere.
    small = scenes.generate(3, seed=0)
    assert small.labels.tolist() == [
        [7, 0, 0, 3, 3, 9, 10, 10, 9, 10, 10, 0, 0],
        [1, 1, 0, 0, 0, 9, 10, 0, 9, 0, 0, 0, 0],
        [6, 8, 5, 5, 8, 9, 0, 0, 9, 0, 0, 9, 0],
    ]
    quarters = small.images.reshape(3, 2, 32, 2, 32, 3).mean(axis=(2, 4, 5))
    expected = [[[183.5, 180.8], [171.1, 133.8]], [[51.6, 55.7], [109.2, 60.2]], [[115.3, 177.4], [165.0, 188.0]]]
    np.testing.assert_allclose(quarters, expected, atol=0.5)


def test_masks_have_the_classes_of_what_is_drawn(drawn: scenes.Scenes) -> None:
    classes = np.concatenate([np.zeros((1000, 1), int), drawn.labels], axis=1)
    expected = np.take_along_axis(classes, drawn.instances.reshape(1000, -1).astype(int), axis=1)
    is_valid = drawn.masks != IGNORED
    np.testing.assert_array_equal(drawn.masks[is_valid], expected.reshape(drawn.masks.shape)[is_valid])


def test_what_is_ignored_is_a_rim_of_two_pixels_along_edges(drawn: scenes.Scenes) -> None:
    instances = drawn.instances.astype(int)
    centre = instances[:, 2:-2, 2:-2]
    windows = [instances[:, y : y + 60, x : x + 60] for y in range(5) for x in range(5)]
    is_near_edge = np.any([window != centre for window in windows], axis=0)
    is_ignored = drawn.masks[:, 2:-2, 2:-2] == IGNORED
    assert np.mean(is_near_edge[is_ignored]) > 0.995  # not all: tips of shapes are narrower than a pixel
    for axis in (1, 2):
        here, next_ = (np.delete(drawn.masks, place, axis) for place in (-1, 0))
        is_edge = np.diff(instances, axis=axis) != 0
        assert np.mean((here == IGNORED)[is_edge] | (next_ == IGNORED)[is_edge]) > 0.995


def test_discs_stand_out_from_what_they_lie_on(drawn: scenes.Scenes) -> None:
    pixels, instances = discs_of(drawn, scenes.DISC_ON_GROUND)
    lightness, is_disc = pixels.mean(-1), instances == -1
    inside = [image[disc].mean() for image, disc in zip(lightness, is_disc, strict=True)]
    outside = [image[~disc].mean() for image, disc in zip(lightness, is_disc, strict=True)]
    assert np.quantile(np.abs(np.subtract(inside, outside)), 0.02) > 0.08 * 255


def test_boxes_hold_exactly_the_visible_pixels(drawn: scenes.Scenes) -> None:
    for instances, labels, boxes in zip(drawn.instances, drawn.labels, drawn.boxes, strict=True):
        for thing, (label, (left, top, right, bottom)) in enumerate(zip(labels, boxes, strict=True)):
            rows, columns = np.nonzero(instances == thing + 1)
            if label == 0:
                assert not rows.size
                assert (left, top, right, bottom) == (0, 0, 0, 0)
            else:
                assert (left, top) == (columns.min(), rows.min())
                assert (right, bottom) == (columns.max() + 1, rows.max() + 1)


def test_objects_are_hidden_in_part_but_not_altogether(drawn: scenes.Scenes) -> None:
    sizes = np.array([np.bincount(instances.ravel(), minlength=14)[1:6] for instances in drawn.instances])
    is_object = drawn.labels[:, :5] > 0
    assert sizes[is_object].min() >= 30
    counts = np.bincount(is_object.sum(1), minlength=6)
    assert counts[[2, 3, 4, 5]].min() > 100
    assert counts[0] == 0
    boxes = drawn.boxes[:, :5]
    touches = (boxes[..., None, 0] < boxes[:, None, :, 2]) & (boxes[..., None, 1] < boxes[:, None, :, 3])
    overlaps = touches & touches.swapaxes(1, 2) & is_object[:, None] & is_object[..., None] & ~np.eye(5, dtype=bool)
    assert overlaps.any((1, 2)).mean() > 0.5


def test_every_class_occurs(drawn: scenes.Scenes) -> None:
    counts = np.bincount(drawn.masks.ravel(), minlength=256)
    assert counts[CLASSES:IGNORED].sum() == 0
    assert counts[:CLASSES].min() > 0.005 * counts[:CLASSES].sum()
    assert counts[0] < 0.8 * counts[:CLASSES].sum()
    things = np.bincount(drawn.labels.ravel(), minlength=CLASSES)[1:]
    assert things[:8].max() < 1.5 * things[:8].min()
    assert things[8:].min() > 1000


def test_classes_of_discs_say_what_lies_around_them(drawn: scenes.Scenes) -> None:
    for label in DISCS:
        _, instances = discs_of(drawn, label)
        around = np.concatenate(
            [instances[:, [0, -1]].reshape(len(instances), -1), instances[:, :, [0, -1]].reshape(len(instances), -1)], 1
        )
        np.testing.assert_array_equal(around, around[:, :1].repeat(around.shape[1], 1))
        assert np.all((around > 0) == (label == scenes.DISC_ON_OBJECT))


def test_colours_do_not_tell_the_classes(drawn: scenes.Scenes) -> None:
    # The best that can be done by a pixel's colour alone, in bins of 16 levels a channel.
    def bins(images: np.ndarray) -> np.ndarray:
        return (images // 16).astype(int) @ [256, 16, 1]

    test = scenes.generate(300, seed=4)
    is_valid = drawn.masks != IGNORED
    counts = np.zeros((4096, CLASSES))
    np.add.at(counts, (bins(drawn.images)[is_valid], drawn.masks[is_valid]), 1)
    for weight in (1, 1 / counts.sum(0)):  # as classes occur, and as if all occurred as often
        assert mean_iou((counts * weight).argmax(1)[bins(test.images)], test.masks) < 0.15


def test_the_pixels_of_a_disc_do_not_tell_its_class(drawn: scenes.Scenes) -> None:
    # A ridge regression and the nearest neighbours, both on the disc alone and on as many discs of both classes.
    features = []
    for label in DISCS:
        pixels, instances = discs_of(drawn, label)
        is_disc = (instances == -1)[..., None]
        pixels = np.where(is_disc, pixels / 255 - 0.5, 0).reshape(len(pixels), -1)
        area = is_disc.sum((1, 2, 3))
        colours = pixels.reshape(len(pixels), -1, 3).sum(1) / area[:, None]
        squares = (colours[:, :, None] * colours[:, None]).reshape(len(pixels), -1)
        features.append(np.concatenate([pixels, colours, squares, area[:, None] / 50], axis=1)[:1000])
    inputs, targets = np.concatenate(features), np.repeat([-1.0, 1.0], 1000)
    inputs -= inputs.mean(0)
    is_train = np.arange(2000) % 2 == 0
    train, test = inputs[is_train], inputs[~is_train]
    weights = np.linalg.solve(train.T @ train + 10 * np.eye(train.shape[1]), train.T @ targets[is_train])
    colours = slice(363, 366)
    distances = np.square(test[:, None, colours] - train[None, :, colours]).sum(-1)
    neighbours = targets[is_train][np.argsort(distances, axis=1)[:, :15]].mean(1)
    for scores in (test @ weights, neighbours):
        assert 0.45 < np.mean(np.sign(scores) == targets[~is_train]) < 0.55


def test_load() -> None:
    dataset = scenes.load(train_examples=70, test_examples=33)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, dataset.image_size, dataset.class_names) == ("scenes", 64, scenes.CLASS_NAMES)
    assert dataset.task == "segmentation"
    assert isinstance(dataset.train, ArraySplit)
    assert isinstance(dataset.test, ArraySplit)
    assert (len(dataset.train), len(dataset.test)) == (70, 33)
    np.testing.assert_array_equal(dataset.test.labels, scenes.generate(33, [0, 1]).masks)
    images = {split.images[index].tobytes() for split in (dataset.train, dataset.test) for index in range(len(split))}
    assert len(images) == 103


def test_what_was_loaded_is_drawn_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, other = scenes.load(20, 5, seed=3), scenes.load(20, 5, seed=4)
    assert (other.train.images != first.train.images).any()
    monkeypatch.setattr(scenes, "generate", None)
    again = scenes.load(20, 5, seed=4)
    for one, two in ((again.train, other.train), (again.test, other.test)):
        np.testing.assert_array_equal(one.images, two.images, strict=True)
        np.testing.assert_array_equal(one.labels, two.labels, strict=True)
    with pytest.raises(TypeError):  # no longer in the cache
        scenes.load(20, 5, seed=3)


def test_statistics_are_those_of_the_images(drawn: scenes.Scenes) -> None:
    images = drawn.images / np.float32(255)
    np.testing.assert_allclose(scenes.MEAN, images.mean(axis=(0, 1, 2)), atol=0.01)
    np.testing.assert_allclose(scenes.STD, images.std(axis=(0, 1, 2)), atol=0.01)


@pytest.mark.parametrize("num_examples", [0, -5])
def test_no_examples_is_an_error(num_examples: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {num_examples}"):
        scenes.generate(num_examples)


def test_a_negative_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        scenes.generate(10, seed=-1)
