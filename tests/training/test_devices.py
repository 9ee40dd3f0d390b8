"""The same run on any number of devices."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from zoo.blocks import BatchNorm, Conv, DropPath
from zoo.ops.lowering.measured import device_of
from zoo.training.config import AugmentConfig, OptimizerConfig
from zoo.training.devices import Devices
from zoo.training.feed import ResidentFeed
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

ALL_AUGMENTATION = AugmentConfig(crop_padding=2, cutout=3, mixup=0.5, cutmix=0.5)


class ExactNet(nnx.Module):
    """Dense, depthwise and pointwise convolutions with batch norm, drop path and dropout, all in one dtype."""

    def __init__(self, rngs: nnx.Rngs, dtype=jnp.float64) -> None:
        dtypes = {"dtype": dtype, "param_dtype": dtype, "rngs": rngs}
        self.convolutions = nnx.List(
            [
                Conv(3, 8, kernel_size=3, **dtypes),
                Conv(8, 8, kernel_size=3, groups=8, **dtypes),
                Conv(8, 8, kernel_size=1, **dtypes),
            ]
        )
        self.norms = nnx.List([BatchNorm(8, **dtypes) for _ in self.convolutions])
        self.drop_path, self.dropout = DropPath(0.3, rngs=rngs), nnx.Dropout(0.2, rngs=rngs)
        self.head = nnx.Linear(8, 4, **dtypes)

    @classmethod
    def in_float32(cls, rngs: nnx.Rngs) -> ExactNet:
        return cls(rngs, jnp.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(self.head.dtype)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = nnx.relu(norm(convolution(x)))
            x = y if convolution is self.convolutions[0] else x + self.drop_path(y)
        return self.head(self.dropout(x.mean((1, 2))))


@pytest.fixture
def exactly(float64, monkeypatch):
    """Computes in float64 from the pixels on: compilers round float32 in one way here and in another there."""
    monkeypatch.setattr("zoo.data.augment.normalize", lambda images, mean, std: images.astype(jnp.float64) / 64 - 2)


@pytest.fixture
def train(config, dataset):
    """A function that trains on some devices, and gives the mean loss of each step and the last state."""

    def train(devices, steps=10, model=ExactNet, **changes):
        changed = replace(config, **changes)
        optimizer = make_optimizer(changed.optimizer, optax.constant_schedule(0.05))  # a schedule computes in float32
        trainer, state = Trainer.create(changed, model(nnx.Rngs(0)), dataset, optimizer, Devices.find(devices))
        state, losses = trainer.place(state), []
        advance = jax.jit(trainer.train_chunk, out_shardings=trainer.shardings_of(state))
        images, labels = trainer.devices.place((dataset.train.images, dataset.train.labels), trainer.devices.replicated)
        for _ in range(steps):
            before = 0.0 if int(state.step) % trainer.steps_per_epoch == 0 else float(state.sums.loss)
            with trainer.devices.entered():
                state = advance(state, images, labels, np.int32(1))
            losses.append(float(state.sums.loss) - before)
        return np.array(losses), state

    return train


def largest_difference(a, b):
    return max(
        float(np.abs(np.asarray(x) - np.asarray(y)).max())
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_one_two_and_eight_devices_train_alike(train, exactly):
    losses, state = train(1, augment=ALL_AUGMENTATION, ema_decay=0.9)
    for devices in (2, 8):
        others, other_state = train(devices, augment=ALL_AUGMENTATION, ema_decay=0.9)
        np.testing.assert_allclose(others, losses, rtol=1e-9)
        assert largest_difference(other_state.params, state.params) < 1e-9
        assert largest_difference(other_state.batch_stats, state.batch_stats) < 1e-6  # float32


def test_in_float32_they_agree_to_rounding(train):
    losses, other_losses = (train(devices, model=ExactNet.in_float32)[0] for devices in (1, 8))
    np.testing.assert_allclose(other_losses, losses, rtol=1e-4)


def test_a_split_optimizer_changes_nothing_but_where_its_state_lies(train, exactly):
    (losses, state), (others, other_state) = (
        train(8, optimizer=OptimizerConfig(split_state=split)) for split in (False, True)
    )
    np.testing.assert_allclose(others, losses, rtol=1e-12)
    for each, parts in ((state, 1), (other_state, 8)):
        momentum = max(jax.tree.leaves(each.optimizer), key=lambda leaf: leaf.size)
        assert momentum.addressable_shards[0].data.size == momentum.size // parts
        assert each.params["head"]["kernel"][...].addressable_shards[0].data.size == 32


def test_on_the_same_devices_a_run_is_the_same_to_the_bit(train):
    first, second = (train(8, model=ExactNet.in_float32)[1] for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_data_set_that_is_split_between_devices_gives_the_same_batches(make_trainer, dataset, monkeypatch):
    trainer, state = make_trainer(devices=8)
    states = [ResidentFeed(trainer, dataset.train, state).advance(state, 2)]
    monkeypatch.setattr("zoo.training.feed._REPLICATED_SHARE", 2**60)
    trainer, state = make_trainer(devices=8)
    feed = ResidentFeed(trainer, dataset.train, state)
    assert feed._images.addressable_shards[0].data.shape[0] == 5  # of 40
    states.append(feed.advance(state, 2))
    assert largest_difference(states[0].params, states[1].params) == 0


class PlainNet(ExactNet):
    """Without what depends on the whole batch, or is random."""

    def __call__(self, x: jax.Array) -> jax.Array:
        for convolution in self.convolutions:
            x = nnx.relu(convolution(x.astype(self.head.dtype)))
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(train, exactly, devices):
    losses, state = train(devices, model=PlainNet)
    others, other_state = train(devices, model=PlainNet, gradient_accumulation=4)
    np.testing.assert_allclose(others, losses, rtol=1e-9)
    assert largest_difference(other_state.params, state.params) < 1e-9
    assert int(state.sums.correct) == int(other_state.sums.correct)


def test_the_parts_of_a_batch_have_masks_of_their_own_and_all_move_the_statistics(config, dataset, monkeypatch):
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 20))
    trainer, state = Trainer.create(
        replace(config, gradient_accumulation=4), ExactNet.in_float32(nnx.Rngs(0)), dataset, optimizer, Devices.find(1)
    )
    inputs, targets = jax.random.normal(jax.random.key(0), (2, 8, 8, 3)), jnp.eye(4)[:2]
    same_parts = jnp.repeat(inputs, 4, 0), jnp.repeat(targets, 4, 0)  # a part is every fourth example
    parts = []

    def record(self, model, inputs, targets):
        logits = model(inputs)
        jax.debug.callback(lambda logits: parts.append(np.asarray(logits)), logits)
        return logits.sum(), jnp.int32(0)

    monkeypatch.setattr(type(trainer.task), "loss", record)
    *_, batch_stats = jax.jit(trainer._differentiate)(state, *same_parts)
    jax.effects_barrier()
    first, *others = parts
    assert len(others) == 3
    assert all(np.abs(first - other).max() > 1e-3 for other in others)
    assert [float(norm["num_batches"][...]) for norm in batch_stats["norms"].values()] == [4, 4, 4]


def test_norms_per_device_are_those_of_the_shares(config, dataset, exactly):
    """Two devices give the mean of the losses that each half of the batch has by itself."""
    plain = replace(config, augment=AugmentConfig(crop_padding=0, flip=False))
    model = ExactNet(nnx.Rngs(0))
    model.set_attributes(rate=0.0, raise_if_not_found=False)
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 20))
    images, labels = jnp.asarray(dataset.train.images[:8]), jnp.asarray(dataset.train.labels[:8])

    def loss_of(devices, images, labels, **changes):
        trainer, state = Trainer.create(replace(plain, **changes), model, dataset, optimizer, Devices.find(devices))
        with trainer.devices.entered():
            step = jax.jit(trainer.train_step)
            after = step(trainer.place(state), *trainer.devices.join((images, labels)))
        return float(after.sums.loss) / len(labels)

    halves = [loss_of(1, images[half], labels[half]) for half in (slice(0, 4), slice(4, 8))]
    whole = loss_of(2, images, labels)
    per_device = loss_of(2, images, labels, batch_norm="per-device")
    assert per_device == pytest.approx(np.mean(halves), rel=1e-12)
    assert abs(whole - per_device) > 1e-6


def test_norms_per_device_need_norms(make_trainer, config, dataset):
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 20))
    with pytest.raises(ValueError, match="batch_norm='per-device', but the model has no batch norm"):
        Trainer.create(
            replace(config, batch_norm="per-device"), nnx.Linear(3, 4, rngs=nnx.Rngs(0)), dataset, optimizer,
            Devices.find(2),
        )  # fmt: skip


def test_devices_are_found_by_number():
    assert Devices.find().count == 8
    assert Devices.find(3).mesh.devices.tolist() == jax.devices()[:3]
    assert Devices.find((5, 2)).mesh.devices.tolist() == [jax.devices()[5], jax.devices()[2]]
    assert Devices.find(2).describe() == f"2 devices ({device_of('cpu')})"
    for wanted in (9, 0, (0, 8), (1, 1), ()):
        with pytest.raises(ValueError, match="8 cpu devices, with the numbers 0, 1, 2, 3, 4, 5, 6, 7"):
            Devices.find(wanted)


def test_batches_that_cannot_be_split_are_refused_with_both_numbers():
    devices = Devices.find(8)
    devices.check_batch(64)
    devices.check_batch(64, 4)
    for arguments, message in (
        ((100,), "batch_size=100 cannot be split over 8 devices; 96 or 104 can"),
        ((4,), "batch_size=4 cannot be split over 8 devices; 8 can"),
        ((72, 2), "batch_size=72 cannot be split over 8 devices in 2 micro-batches; 64 or 80 can"),
    ):
        with pytest.raises(ValueError, match=message):
            devices.check_batch(*arguments)
