"""`Classification`: a label an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike

from zoo.data import augment, fair
from zoo.data.balance import BalancedDraws, class_weights
from zoo.data.dataset import Dataset
from zoo.training.config import AugmentConfig, TrainConfig
from zoo.training.report import Panel
from zoo.training.tasks.classification_evaluation import ClassificationEvaluation, measure
from zoo.training.tasks.classification_report import panels
from zoo.training.tasks.task import logits_of


class Predictions(NamedTuple):
    """Logits of test examples, float32 (N, classes), and their labels, int32 (N,); arrays of JAX or NumPy."""

    logits: Any
    labels: Any


@dataclass(frozen=True, eq=False)
class Classification:
    """Cross-entropy of one label an image; a `Task`.

    Labels are int32 (B,), targets the shares of the classes, float32 (B, classes).

    Attributes:
        augmentation: the random changes.
        num_classes: how many classes the model tells apart, at least those of the data.
        image_size: height and width of what the model sees; random resized crops bring training images to it.
        mean, std: with which images are normalised.
        label_smoothing: share of the target that is spread evenly over all classes.
        auxiliary_loss: weight of the loss of each auxiliary head.
        class_weights: float32 (classes,), of the loss; None for the same weight for all.
        draws: which training examples are taken; None for each once an epoch.
    """

    augmentation: AugmentConfig
    num_classes: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    label_smoothing: float
    auxiliary_loss: float
    class_weights: np.ndarray | None = None
    draws: BalancedDraws | None = None

    @property
    def correct_dtype(self) -> DTypeLike:
        return jnp.int32

    @classmethod
    def of(cls, config: TrainConfig, dataset: Dataset) -> Classification:
        if config.augment.random_scale:
            raise ValueError(
                "augment.random_scale is for images whose pixels have labels; random_resized_crop scales these"
            )
        num_classes = config.model.num_classes or len(dataset.class_names)
        balance, labels = config.balance, fair.labels_of(dataset.train)
        if balance != "none" and labels is None:
            raise ValueError(f"balance={balance!r} takes all labels beforehand, which {dataset.name} does not tell")
        return cls(
            augmentation=config.augment,
            num_classes=num_classes,
            image_size=dataset.image_size,
            mean=dataset.mean,
            std=dataset.std,
            label_smoothing=config.label_smoothing,
            auxiliary_loss=config.auxiliary_loss,
            class_weights=class_weights(labels, num_classes) if labels is not None and balance == "loss" else None,
            draws=BalancedDraws(labels) if labels is not None and balance == "sampling" else None,
        )

    def abstract_labels(self, images: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(images.shape[:1], jnp.int32, sharding=images.sharding)

    def prepare(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        config = self.augmentation
        # The first keys of a longer split are those of a shorter one: what is added at the end changes no other.
        crop_key, flip_key, cutout_key, mixup_key, cutmix_key, choice_key, trivial_key, jitter_key, erasing_key = (
            jax.random.split(key, 9)
        )
        if config.random_resized_crop:
            images = augment.random_resized_crop(crop_key, images, self.image_size, config.random_resized_crop)
        elif config.crop_padding:
            images = augment.random_crop(crop_key, images, config.crop_padding)
        if config.flip:
            images = augment.random_flip(flip_key, images)
        if config.trivial_augment:
            images = augment.trivial_augment(trivial_key, images)
        if config.color_jitter:
            images = augment.color_jitter(jitter_key, images, config.color_jitter)
        inputs = self.normalize(images)
        if config.cutout:
            inputs = augment.cutout(cutout_key, inputs, config.cutout)
        if config.random_erasing:
            inputs = augment.random_erasing(erasing_key, inputs, config.random_erasing)
        targets = optax.smooth_labels(jax.nn.one_hot(labels, self.num_classes), self.label_smoothing)
        mixup = partial(augment.mixup, mixup_key, inputs, targets, config.mixup)
        cutmix = partial(augment.cutmix, cutmix_key, inputs, targets, config.cutmix)
        if config.mixup and config.cutmix:  # Both at once would make an image of up to four.
            return jax.lax.cond(jax.random.bernoulli(choice_key), mixup, cutmix)
        if config.mixup:
            return mixup()
        if config.cutmix:
            return cutmix()
        return inputs, targets

    def loss(self, model: Any, inputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, *auxiliary = logits_of(model, inputs)
        # A mixed image counts as right if it is taken for what it shows most of.
        correct = (logits.argmax(-1) == targets.argmax(-1)).sum(dtype=jnp.int32)
        if self.class_weights is not None:
            targets = targets * self.class_weights
        loss = optax.softmax_cross_entropy(logits, targets).mean()
        for of_head in auxiliary:
            loss += self.auxiliary_loss * optax.softmax_cross_entropy(of_head, targets).mean()
        return loss, correct

    def normalize(self, images: jax.Array) -> jax.Array:
        return augment.normalize(images, self.mean, self.std)

    def judge(self, outputs: jax.Array, labels: jax.Array, counts: jax.Array) -> Predictions:
        return Predictions(outputs, labels)

    def findings(self, judged: Sequence[Predictions], examples: int) -> Predictions:
        logits, labels = (np.concatenate(arrays)[:examples] for arrays in zip(*judged, strict=True))
        return Predictions(logits, labels)

    def figures(self, findings: Predictions) -> dict[str, float]:
        return measure(*findings)

    def evaluation(self, findings: Predictions, class_names: Sequence[str]) -> ClassificationEvaluation:
        return ClassificationEvaluation.of(*findings, class_names)

    def panels(
        self, findings: Predictions, dataset: Dataset, predict: Callable[[np.ndarray], np.ndarray]
    ) -> list[Panel]:
        return panels(
            findings.labels,
            np.asarray(jax.nn.softmax(findings.logits)),
            lambda indices: np.stack([dataset.test[int(index)]["image"] for index in indices]),
            dataset.class_names,
        )
