from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from zoo.data.dataset import ArraySplit
from zoo.data.stream import stream
from zoo.training.config import AugmentConfig
from zoo.training.step import _fold_in


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def chunk(trainer, dataset):
    images, labels = jnp.asarray(dataset.train.images), jnp.asarray(dataset.train.labels)
    run = jax.jit(trainer.train_chunk)
    return lambda state, num_steps: run(state, images, labels, jnp.int32(num_steps))


def test_the_length_of_chunks_makes_no_difference_to_the_bit(make_trainer, dataset):
    trainer, state = make_trainer(ema_decay=0.9)
    advance = chunk(trainer, dataset)
    assert_same(advance(state, 5), advance(advance(advance(state, 1), 1), 3))


def test_an_epoch_sees_every_example_once_in_an_order_of_its_own(make_trainer, dataset, monkeypatch):
    trainer, state = make_trainer()
    images, labels = jnp.asarray(dataset.train.images), jnp.arange(40)
    seen = []

    def record(self, state, images, labels):
        jax.debug.callback(lambda labels: seen.append(np.asarray(labels)), labels, ordered=True)
        return state.__class__(**(vars(state) | {"step": state.step + 1}))

    monkeypatch.setattr(type(trainer), "train_step", record)
    for _ in range(2):
        state = jax.jit(trainer.train_chunk)(state, images, labels, jnp.int32(5))
    jax.effects_barrier()
    first, second = np.concatenate(seen[:5]), np.concatenate(seen[5:])
    assert sorted(first) == sorted(second) == list(range(40))
    assert (first != second).any()


def test_augmentation_depends_on_the_seed_and_the_step_alone(make_trainer, dataset):
    trainer, _ = make_trainer(augment=AugmentConfig(crop_padding=2, cutout=3, mixup=0.5, cutmix=0.5))
    other, _ = make_trainer(augment=AugmentConfig(crop_padding=2, cutout=3, mixup=0.5, cutmix=0.5), seed=1)
    images, labels = jnp.asarray(dataset.train.images[:8]), jnp.asarray(dataset.train.labels[:8])
    augmented, differently = (jax.jit(each._prepare) for each in (trainer, other))
    inputs, targets = augmented(jnp.int32(7), images, labels)
    assert inputs.shape == (8, 8, 8, 3)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-5)
    assert_same(augmented(jnp.int32(7), images, labels), (inputs, targets))
    assert (augmented(jnp.int32(8), images, labels)[0] != inputs).any()
    assert (differently(jnp.int32(7), images, labels)[0] != inputs).any()


@pytest.mark.parametrize("mixing", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_accuracy_is_counted_against_what_a_mixed_image_shows_most_of(make_trainer, dataset, monkeypatch, mixing):
    trainer, state = make_trainer(augment=AugmentConfig(**mixing))
    images, labels = jnp.asarray(dataset.train.images[:8]), jnp.arange(8, dtype=jnp.int32) % 4
    # As if nothing were left of an image but its partner, of the next class.
    turned = jax.nn.one_hot((labels + 1) % 4, 4)
    for name in mixing:
        monkeypatch.setattr(f"zoo.data.augment.{name}", lambda key, images, targets, alpha: (images, turned))
    state.params["head"]["kernel"][...] = jnp.zeros((8, 4))
    state.params["head"]["bias"][...] = jnp.array([1.0, 0, 0, 0])
    train_step = jax.jit(trainer.train_step)
    sums = train_step(state, images, jnp.where(labels == 3, 3, 1)).sums
    assert (sums.correct, sums.correct.dtype, sums.examples) == (2, jnp.int32, 8)


def test_every_layer_and_step_has_its_own_random_key():
    rngs = nnx.Rngs(0)
    layers = nnx.List([nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)])
    state = nnx.state(layers, nnx.RngState)

    def keys(step):
        folded = _fold_in(state, jnp.int32(step))
        random_keys = [leaf for leaf in jax.tree.leaves(folded) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
        return [tuple(jax.random.key_data(key).tolist()) for key in random_keys]

    assert len(set(keys(0) + keys(1))) == 4


def test_sums_are_of_the_epoch_so_far(make_trainer, dataset):
    trainer, state = make_trainer()
    advance = chunk(trainer, dataset)
    state = advance(state, 3)
    assert int(state.sums.examples) == 24
    state = advance(advance(state, 2), 1)
    assert int(state.sums.examples) == 8
    assert 0 <= state.sums.accuracy <= 1


def test_it_learns(make_trainer, dataset):
    trainer, state = make_trainer(augment=AugmentConfig(crop_padding=0))
    advance = chunk(trainer, dataset)
    losses = []
    for _ in range(4):
        state = advance(state, 5)
        losses.append(state.sums.mean_loss)
    assert losses[-1] < 0.8 * losses[0]


def test_the_average_of_the_weights_is_what_is_evaluated(make_trainer, dataset):
    trainer, start = make_trainer(ema_decay=0.5)
    state = chunk(trainer, dataset)(start, 1)
    before, after = start.params["head"]["bias"][...], state.params["head"]["bias"][...]
    decay = min(0.5, 1 / 10)
    np.testing.assert_allclose(
        state.evaluated[0]["head"]["bias"][...], decay * before + (1 - decay) * after, rtol=1e-5, atol=1e-7
    )
    _, state = make_trainer()
    assert state.average is None
    assert state.evaluated[0] is state.params


def test_classes_weigh_as_much_where_the_loss_is_balanced(make_trainer, dataset):
    trainer, _ = make_trainer(balance="loss")
    np.testing.assert_allclose(trainer.task.class_weights, 40 / (4 * np.bincount(dataset.train.labels)), rtol=1e-6)
    labels, logits = dataset.train.labels[:8], np.random.default_rng(0).normal(size=(8, 4))
    loss, _ = trainer.task.loss(lambda inputs: logits, jnp.zeros(8), jax.nn.one_hot(labels, 4))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(loss, (trainer.task.class_weights[labels] * losses).mean(), rtol=1e-5)
    assert make_trainer()[0].task.class_weights is None


@pytest.mark.parametrize("streamed", [False, True])
def test_classes_come_as_often_where_sampling_is_balanced(make_trainer, dataset, monkeypatch, streamed):
    labels = np.array([0] * 30 + [1] * 8 + [3] * 2, np.int32)
    uneven = replace(dataset, train=ArraySplit(dataset.train.images, labels))
    trainer, state = make_trainer(dataset=uneven, balance="sampling")
    seen = []
    if streamed:
        reader = stream(uneven.train, batch_size=8, seed=0, draws=trainer.task.draws)
        seen = [next(reader)[1] for _ in range(60)]
        reader.close()
    else:

        def record(self, state, images, labels):
            jax.debug.callback(lambda labels: seen.append(np.asarray(labels)), labels, ordered=True)
            return state.__class__(**(vars(state) | {"step": state.step + 1}))

        monkeypatch.setattr(type(trainer), "train_step", record)
        advance = jax.jit(trainer.train_chunk)
        for _ in range(12):
            state = advance(state, jnp.asarray(uneven.train.images), jnp.asarray(labels), jnp.int32(5))
        jax.effects_barrier()
    counts = np.bincount(np.concatenate(seen), minlength=4)
    assert counts.sum() == 480
    assert counts[2] == 0
    assert counts[[0, 1, 3]].min() > 120
    assert len({tuple(each) for each in seen}) > 50


def test_labels_must_be_at_hand_to_balance(make_trainer, dataset):
    class Unknown:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            return dataset.train[index]

    with pytest.raises(ValueError, match="balance='loss' takes all labels beforehand, which colours does not tell"):
        make_trainer(dataset=replace(dataset, train=Unknown()), balance="loss")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_step_with_a_bad_loss_is_noted(make_trainer, dataset, bad):
    trainer, state = make_trainer()
    advance = chunk(trainer, dataset)
    state = advance(state, 2)
    assert int(state.first_bad_step) == -1
    state.params["head"]["bias"][...] = jnp.full(4, bad)
    assert int(advance(state, 3).first_bad_step) == 2


def test_the_native_lowering_can_be_forced_by_the_config(make_trainer, dataset):
    images, labels = jnp.asarray(dataset.train.images[:8]), jnp.asarray(dataset.train.labels[:8])
    for lowering, is_ours in ((None, True), ("native", False)):
        trainer, state = make_trainer(lowering=lowering)
        for function, arguments in ((trainer.train_step, (images, labels)), (trainer.predict, (images,))):
            assert ("zoo_convolution" in str(jax.make_jaxpr(function)(state, *arguments))) == is_ours
