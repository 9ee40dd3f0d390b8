"""`Classification`: a label an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zoo.data import augment
from zoo.training.config import AugmentConfig


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
        class_weights: float32 (classes,), of the loss; None for the same weight for all.
    """

    augmentation: AugmentConfig
    num_classes: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    label_smoothing: float = 0.0
    class_weights: np.ndarray | None = None

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
        logits = model(inputs)
        # A mixed image counts as right if it is taken for what it shows most of.
        correct = (logits.argmax(-1) == targets.argmax(-1)).sum(dtype=jnp.int32)
        if self.class_weights is not None:
            targets = targets * self.class_weights
        return optax.softmax_cross_entropy(logits, targets).mean(), correct

    def normalize(self, images: jax.Array) -> jax.Array:
        return augment.normalize(images, self.mean, self.std)
