from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from zoo.training.config import AugmentConfig


def test_each_augmentation_of_the_config_is_applied_to_what_it_takes(make_trainer, monkeypatch):
    trainer, _ = make_trainer(
        augment=AugmentConfig(
            flip=False, random_resized_crop=0.5, trivial_augment=True, color_jitter=0.3, random_erasing=0.2
        )
    )
    called = []

    def record(name, dtype, size):
        def replacement(key, images, *arguments):
            assert (images.dtype, images.shape[1]) == (dtype, size)
            called.append((name, *arguments, tuple(jax.random.key_data(key).tolist())))
            return images[:, :8, :8]

        monkeypatch.setattr(f"zoo.data.augment.{name}", replacement)

    record("random_crop", "uint8", 10)
    record("random_resized_crop", "uint8", 10)
    record("trivial_augment", "uint8", 8)
    record("color_jitter", "uint8", 8)
    record("random_erasing", "float32", 8)
    inputs, _ = trainer.task.prepare(jax.random.key(0), jnp.zeros((4, 10, 10, 3), jnp.uint8), jnp.zeros(4, jnp.int32))
    assert inputs.shape == (4, 8, 8, 3)
    assert [call[:-1] for call in called] == [
        ("random_resized_crop", 8, 0.5),
        ("trivial_augment",),
        ("color_jitter", 0.3),
        ("random_erasing", 0.2),
    ]
    assert len({call[-1] for call in called}) == 4


def test_a_batch_is_mixed_by_mixup_or_by_cutmix_not_by_both(make_trainer, monkeypatch):
    monkeypatch.setattr("zoo.data.augment.mixup", lambda key, images, targets, alpha: (images + 100, targets + 1))
    monkeypatch.setattr("zoo.data.augment.cutmix", lambda key, images, targets, alpha: (images + 200, targets + 2))
    trainer, _ = make_trainer(augment=AugmentConfig(flip=False, crop_padding=0, mixup=0.7, cutmix=0.7))
    images, labels = jnp.zeros((8, 8, 8, 3), jnp.uint8), jnp.arange(8) % 4
    prepare = jax.jit(trainer.task.prepare)
    added = []
    for step in range(20):
        inputs, targets = prepare(jax.random.key(step), images, labels)
        added.append((inputs[0, 0, 0, 0] - jnp.float32(-2.0), (targets - jax.nn.one_hot(labels, 4)).max()))
    assert {(float(image), float(target)) for image, target in added} == {(100.0, 1.0), (200.0, 2.0)}


def test_scaling_with_masks_is_refused(make_trainer):
    with pytest.raises(ValueError, match=r"augment\.random_scale is for images whose pixels have labels"):
        make_trainer(augment=AugmentConfig(random_scale=(0.5, 2.0)))
