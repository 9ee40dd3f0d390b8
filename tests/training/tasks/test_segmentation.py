from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.data.dataset import IGNORED, ArraySplit, Dataset
from zoo.data.scenes import CLASS_NAMES, generate
from zoo.training.config import AugmentConfig, OptimizerConfig, TrainConfig
from zoo.training.devices import Devices
from zoo.training.feed import Evaluator
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer
from zoo.training.tasks import Segmentation, task_of

PLAIN = AugmentConfig(crop_padding=0, flip=False)


class TinySegmenter(nnx.Module):
    """Logits for every pixel, and an auxiliary head."""

    def __init__(self, classes: int, rngs: nnx.Rngs, *, has_auxiliary: bool = False) -> None:
        self.hidden = ConvNormAct(3, 4, norm=None, rngs=rngs)
        self.classify = nnx.Conv(4, classes, (1, 1), rngs=rngs)
        self.auxiliary_heads = nnx.List([nnx.Conv(4, classes, (1, 1), rngs=rngs)] if has_auxiliary else [])
        self.has_auxiliary = has_auxiliary

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.classify(self.hidden(x)).astype(jnp.float32)

    def logits_with_auxiliary(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        x = self.hidden(x)
        return self.classify(x), [head(x) for head in self.auxiliary_heads]


@pytest.fixture
def dataset() -> Dataset:
    train, test = generate(8, [0, 0]), generate(5, [0, 1])
    parts = (ArraySplit(one.images[:, :16, :16].copy(), one.masks[:, :16, :16].copy()) for one in (train, test))
    return Dataset("corners", CLASS_NAMES, 16, *parts, (0.5,) * 3, (0.25,) * 3, task="segmentation")


@pytest.fixture
def make_trainer(dataset):
    def make(*, model=None, dataset=dataset, **changes):
        config = replace(TrainConfig(batch_size=4, devices=1, augment=PLAIN, optimizer=OptimizerConfig()), **changes)
        optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 10))
        model = model or TinySegmenter(len(dataset.class_names), nnx.Rngs(0))
        trainer, state = Trainer.create(config, model, dataset, optimizer, Devices.find(config.devices))
        return trainer, trainer.place(state)

    return make


def segmentation(dataset, **changes) -> Segmentation:
    task = task_of(replace(TrainConfig(augment=PLAIN), **changes), dataset)
    assert isinstance(task, Segmentation)
    return task


def test_the_loss_is_the_mean_over_the_pixels_that_have_a_class(dataset):
    task = segmentation(dataset)
    images, labels = dataset.train.images[:4], dataset.train.labels[:4].copy()
    labels[0] = IGNORED
    model = TinySegmenter(len(CLASS_NAMES), nnx.Rngs(0))
    inputs, targets = task.prepare(jax.random.key(0), jnp.asarray(images), jnp.asarray(labels))
    loss, correct = task.loss(model, inputs, targets)
    logits, valid = np.asarray(model(task.normalize(jnp.asarray(images)))), labels != IGNORED
    losses = optax.softmax_cross_entropy_with_integer_labels(logits[valid], labels[valid].astype(int))
    assert float(loss) == pytest.approx(float(losses.mean()), rel=1e-5)
    right = (logits.argmax(-1) == labels) & valid
    shares = right[1:].sum((1, 2)) / valid[1:].sum((1, 2))
    assert (float(correct), correct.dtype) == (pytest.approx(float(shares.sum()), rel=1e-5), jnp.float32)


def test_a_batch_without_a_class_has_no_loss_and_no_gradient(dataset):
    task = segmentation(dataset)
    images, labels = jnp.asarray(dataset.train.images[:2]), jnp.full((2, 16, 16), IGNORED, jnp.uint8)
    graph, params = nnx.split(TinySegmenter(len(CLASS_NAMES), nnx.Rngs(0)))
    batch = task.prepare(jax.random.key(0), images, labels)
    loss, gradients = jax.value_and_grad(lambda params: task.loss(nnx.merge(graph, params), *batch)[0])(params)
    assert loss == 0
    assert all((gradient == 0).all() for gradient in jax.tree.leaves(gradients))


def test_weights_even_out_classes_by_their_pixels(dataset):
    task = segmentation(dataset, balance="loss")
    counts = np.bincount(dataset.train.labels[dataset.train.labels != IGNORED], minlength=len(CLASS_NAMES))
    there = counts > 0
    expected = counts.sum() / (there.sum() * counts[there])
    np.testing.assert_allclose(task.class_weights[there], expected, rtol=1e-5)
    inputs, targets = task.prepare(jax.random.key(0), *map(jnp.asarray, (dataset.train.images, dataset.train.labels)))
    model = TinySegmenter(len(CLASS_NAMES), nnx.Rngs(0))
    valid = dataset.train.labels != IGNORED
    labels = dataset.train.labels[valid].astype(int)
    losses = optax.softmax_cross_entropy_with_integer_labels(np.asarray(model(inputs))[valid], labels)
    weights = task.class_weights[labels]
    assert float(task.loss(model, inputs, targets)[0]) == pytest.approx(
        float((weights * losses).sum() / weights.sum()), rel=1e-4
    )


def test_the_losses_of_auxiliary_heads_are_added_with_their_weight(dataset):
    model = TinySegmenter(len(CLASS_NAMES), nnx.Rngs(0), has_auxiliary=True)
    batch = [jnp.asarray(array) for array in (dataset.train.images, dataset.train.labels)]

    def loss(weight: float) -> float:
        task = segmentation(dataset, auxiliary_loss=weight)
        return float(task.loss(model, *task.prepare(jax.random.key(0), *batch))[0])

    assert loss(1.0) - loss(0.0) == pytest.approx(2 * (loss(0.5) - loss(0.0)), rel=1e-4)
    assert loss(0.5) > loss(0.0)


def test_a_batch_in_parts_has_the_gradient_of_the_whole_batch(make_trainer, dataset):
    labels = dataset.train.labels.copy()
    labels[:3, 4:] = IGNORED  # images of different weight
    uneven = replace(dataset, train=ArraySplit(dataset.train.images, labels))
    steps = []
    for parts in (1, 2):
        trainer, state = make_trainer(dataset=uneven, gradient_accumulation=parts)
        step = jax.jit(trainer.train_step)
        steps.append(step(state, *map(jnp.asarray, (uneven.train.images[:4], labels[:4]))))
    whole, parts = steps
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert parts.sums.mean_loss == pytest.approx(whole.sums.mean_loss, rel=1e-5)
    assert parts.sums.accuracy == pytest.approx(whole.sums.accuracy, rel=1e-5)


@pytest.mark.parametrize(
    "augmentation", [AugmentConfig(crop_padding=3, flip=True), AugmentConfig(random_scale=(0.5, 2.0), flip=True)]
)
def test_image_and_mask_are_changed_alike(dataset, augmentation):
    labels = dataset.train.labels
    # Images that show their own masks, in the colour that the normalisation makes 10 times the class.
    images = np.repeat(np.where(labels == IGNORED, 200, 10 * labels)[..., None], 3, -1).astype(np.uint8)
    task = segmentation(replace(dataset, mean=(0.0,) * 3, std=(1 / 255,) * 3), augment=augmentation)
    inputs, targets = jax.jit(task.prepare)(jax.random.key(1), jnp.asarray(images), jnp.asarray(labels))
    assert inputs.shape == images.shape
    shown, valid = np.asarray(inputs[..., 0]), np.asarray(targets.labels) != IGNORED
    is_alike = np.abs(shown - 10 * np.asarray(targets.labels)) < 0.5
    if augmentation.random_scale:  # interpolation blurs where classes meet
        assert is_alike[valid].mean() > 0.8
    else:
        assert is_alike[valid].all()
    assert (targets.labels != labels).any()


@pytest.mark.parametrize("devices", [1, 8])
def test_each_pixel_of_the_test_set_counts_once(make_trainer, dataset, devices):
    trainer, state = make_trainer(devices=devices, batch_size=8)
    logits, labels = np.asarray(trainer.predict(state, dataset.test.images)), dataset.test.labels
    valid = labels != IGNORED
    expected = np.zeros((len(CLASS_NAMES),) * 2, int)
    np.add.at(expected, (labels[valid], logits.argmax(-1)[valid]), 1)
    for source in (dataset.test, [dataset.test[index] for index in range(len(dataset.test))]):
        findings = Evaluator(trainer, source, 2)(state)
        np.testing.assert_array_equal(findings.confusion, expected)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits[valid], labels[valid].astype(int))
        figures = trainer.task.figures(findings)
        assert figures["test_loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
        assert figures["test_accuracy"] == expected.trace() / expected.sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": AugmentConfig(cutout=4)}, r"augment\.cutout=4 is for images with one label"),
        ({"augment": AugmentConfig(mixup=0.2)}, r"augment\.mixup=0\.2 is for images with one label"),
        ({"balance": "sampling"}, r"balance='sampling' is for images with one label"),
    ],
)
def test_what_makes_no_sense_for_pixels_is_refused(dataset, changes, message):
    with pytest.raises(ValueError, match=message):
        segmentation(dataset, **changes)
