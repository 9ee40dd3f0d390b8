"""`Segmentation`: a label a pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike

from zoo.data import augment
from zoo.data.balance import class_weights
from zoo.data.dataset import IGNORED, ArraySplit, Dataset
from zoo.training.config import AugmentConfig, TrainConfig
from zoo.training.report import Panel
from zoo.training.tasks.segmentation_evaluation import SegmentationEvaluation
from zoo.training.tasks.segmentation_report import EXAMPLES, panels
from zoo.training.tasks.task import logits_of

_NOT_FOR_MASKS = ("cutout", "mixup", "cutmix", "random_resized_crop", "trivial_augment", "random_erasing")


class Targets(NamedTuple):
    """What a net is to give for a batch.

    Attributes:
        labels: int32 (B, H, W): classes, and `IGNORED`.
        weights: float32 (B,): of the sum of the losses of an image's pixels, such that the mean over the images is the
            weighted mean over all pixels of the batch that have a class, in whatever parts it is computed.
    """

    labels: jax.Array
    weights: jax.Array


class Counts(NamedTuple):
    """What a net makes of some images.

    Attributes:
        confusion: integers (classes, classes): pixels of each class that were taken for each.
        loss: sum of the cross-entropy over these pixels.
    """

    confusion: Any
    loss: Any


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Cross-entropy of one label a pixel; a `Task`.

    Labels are uint8 (B, H, W), of which `IGNORED` stands for no class. Where a net has auxiliary heads, their losses
    are added. The accuracy of training is the mean over the images of the share of their pixels that are right.

    Attributes:
        augmentation: the random changes.
        num_classes: how many classes the model tells apart, at least those of the data.
        mean, std: with which images are normalised.
        label_smoothing: share of the target that is spread evenly over all classes.
        auxiliary_loss: weight of the loss of each auxiliary head.
        class_weights: float32 (classes,), of the loss of a pixel; None for the same weight for all.
    """

    augmentation: AugmentConfig
    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    label_smoothing: float
    auxiliary_loss: float
    class_weights: np.ndarray | None = None
    draws: None = None

    @property
    def correct_dtype(self) -> DTypeLike:
        return jnp.float32

    @classmethod
    def of(cls, config: TrainConfig, dataset: Dataset) -> Segmentation:
        for name in _NOT_FOR_MASKS:
            if value := getattr(config.augment, name):
                raise ValueError(
                    f"augment.{name}={value} is for images with one label; for pixels there are crop_padding, flip, "
                    "random_scale and color_jitter"
                )
        if config.balance == "sampling":
            raise ValueError("balance='sampling' is for images with one label; for pixels there is balance='loss'")
        num_classes = config.model.num_classes or len(dataset.class_names)
        if num_classes > IGNORED:
            raise ValueError(f"num_classes={num_classes} must be at most {IGNORED}, which is the label of no class")
        weights = None
        if config.balance == "loss":
            if not isinstance(dataset.train, ArraySplit):
                raise ValueError(f"balance='loss' takes all labels beforehand, which {dataset.name} does not tell")
            labels = dataset.train.labels
            weights = class_weights(labels[labels != IGNORED], num_classes)
        return cls(
            augmentation=config.augment,
            num_classes=num_classes,
            mean=dataset.mean,
            std=dataset.std,
            label_smoothing=config.label_smoothing,
            auxiliary_loss=config.auxiliary_loss,
            class_weights=weights,
        )

    def abstract_labels(self, images: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(images.shape[:3], jnp.uint8, sharding=images.sharding)

    def prepare(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Targets]:
        config = self.augmentation
        scale_key, crop_key, flip_key, jitter_key = jax.random.split(key, 4)
        if config.random_scale:
            smallest, largest = config.random_scale
            fill = [255 * mean for mean in self.mean]
            images, labels = augment.random_scale_and_crop(scale_key, images, labels, smallest, largest, fill)
        # What moves pixels moves all channels alike, so the mask is one more; of its complement, the padding's zeros
        # stand for no class.
        both = jnp.concatenate([images, IGNORED - labels[..., None]], axis=-1)
        if config.crop_padding:
            both = augment.random_crop(crop_key, both, config.crop_padding)
        if config.flip:
            both = augment.random_flip(flip_key, both)
        images, labels = both[..., :-1], IGNORED - both[..., -1]
        if config.color_jitter:
            images = augment.color_jitter(jitter_key, images, config.color_jitter)
        targets = labels.astype(jnp.int32)
        pixels = self._weights_of(targets).sum()
        share = len(targets) / jnp.maximum(pixels, 1e-6)  # no loss at all if no pixel of the batch has a class
        return self.normalize(images), Targets(targets, jnp.broadcast_to(share, targets.shape[:1]))

    def loss(self, model: Any, inputs: jax.Array, targets: Targets) -> tuple[jax.Array, jax.Array]:
        logits, *auxiliary = logits_of(model, inputs)
        loss = self._mean_loss(logits, targets)
        for of_head in auxiliary:
            loss += self.auxiliary_loss * self._mean_loss(of_head, targets)
        is_valid = targets.labels != IGNORED
        is_right = (logits.argmax(-1) == targets.labels) & is_valid
        shares = is_right.sum((1, 2)) / jnp.maximum(is_valid.sum((1, 2)), 1)
        return loss, shares.sum(dtype=jnp.float32)

    def normalize(self, images: jax.Array) -> jax.Array:
        return augment.normalize(images, self.mean, self.std)

    def judge(self, outputs: jax.Array, labels: jax.Array, counts: jax.Array) -> Counts:
        true = jnp.where(counts[:, None, None], labels, IGNORED).astype(jnp.int32)
        is_valid = true != IGNORED
        cells = jnp.where(is_valid, true * self.num_classes + outputs.argmax(-1), self.num_classes**2)
        # One more cell, for the pixels that do not count.
        confusion = jnp.bincount(cells.reshape(-1), length=self.num_classes**2 + 1)[:-1]
        loss = optax.softmax_cross_entropy_with_integer_labels(outputs, jnp.where(is_valid, true, 0))
        return Counts(confusion.reshape(2 * (self.num_classes,)), jnp.where(is_valid, loss, 0).sum())

    def findings(self, judged: Sequence[Counts], examples: int) -> Counts:
        confusion = sum(np.asarray(one.confusion, np.int64) for one in judged)
        return Counts(confusion, sum(float(one.loss) for one in judged))

    def figures(self, findings: Counts) -> dict[str, float]:
        figures = self.evaluation(findings, [""] * self.num_classes)
        return {
            "test_loss": figures.loss,
            "test_accuracy": figures.accuracy,
            "test_mean_iou": figures.mean_iou,
        }

    def evaluation(self, findings: Counts, class_names: Sequence[str]) -> SegmentationEvaluation:
        return SegmentationEvaluation.of(findings.confusion, findings.loss, class_names)

    def panels(self, findings: Counts, dataset: Dataset, predict: Callable[[np.ndarray], np.ndarray]) -> list[Panel]:
        examples = [dataset.test[index] for index in range(min(EXAMPLES, len(dataset.test)))]
        images = np.stack([example["image"] for example in examples])
        labels = np.stack([example["label"] for example in examples])
        return panels(findings.confusion, images, labels, predict(images).argmax(-1), dataset.class_names)

    def _weights_of(self, labels: jax.Array) -> jax.Array:
        """Of each pixel's loss, 0 where it has no class."""
        is_valid = labels != IGNORED
        if self.class_weights is None:
            return is_valid.astype(jnp.float32)
        return jnp.where(is_valid, jnp.asarray(self.class_weights)[jnp.where(is_valid, labels, 0)], 0)

    def _mean_loss(self, logits: jax.Array, targets: Targets) -> jax.Array:
        weights = self._weights_of(targets.labels)
        of_classes = jax.nn.one_hot(targets.labels, self.num_classes)  # nothing but zeros for `IGNORED`
        losses = optax.softmax_cross_entropy(logits, optax.smooth_labels(of_classes, self.label_smoothing))
        return ((losses * weights).sum((1, 2)) * targets.weights).mean()
