from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zoo.blocks import BatchNorm

RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(2, 3, (4, 5, 5, 6)), jnp.float32)
MASK = jnp.asarray(RANDOM.random((4, 5, 5, 1)) < 0.7)


def pair_with_statistics(**options):
    """Our layer and Flax's, with the same parameters, and running statistics that came from elsewhere."""
    pair = BatchNorm(6, rngs=nnx.Rngs(0), **options), nnx.BatchNorm(6, momentum=0.9, rngs=nnx.Rngs(0), **options)
    for norm in pair:
        norm.mean[...] = jnp.arange(6.0)
        norm.var[...] = jnp.arange(2.0, 8)
        for parameter, value in ((norm.scale, jnp.arange(1.0, 7)), (norm.bias, jnp.arange(-3.0, 3))):
            if parameter is not None:
                parameter[...] = value
    return pair


def step(norm, x, *, in_axis=None, **options):
    """Gradients by parameters and input, output and statistics; `in_axis` wraps the layer's call."""
    graph, params, statistics = nnx.split(norm, nnx.Param, nnx.BatchStat)

    def loss(params, x):
        def call(x):
            norm = nnx.merge(graph, params, statistics, copy=True)
            return norm(x, **options), (norm.mean[...], norm.var[...])

        y, moved = (in_axis or (lambda call: call))(call)(x)
        return jnp.sin(y).sum(), (y, moved)

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)


def assert_equal(a, b):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"use_fast_variance": False}, {"use_scale": False}, {"use_bias": False}, {"use_running_average": True}],
)
@pytest.mark.parametrize("mask", [None, MASK])
def test_agrees_with_flax_in_value_gradient_and_statistics(options, mask):
    assert_equal(*(step(norm, X, mask=mask) for norm in pair_with_statistics(**options)))


def over_two_devices(call):
    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    halves, whole = PartitionSpec("batch"), PartitionSpec()
    return jax.shard_map(call, mesh=mesh, in_specs=halves, out_specs=(halves, whole))


def over_a_mapped_axis(call):
    def split(x):
        y, statistics = jax.vmap(call, axis_name="batch")(x.reshape(2, 2, 5, 5, 6))
        return y.reshape(X.shape), jax.tree.map(lambda leaf: leaf[0], statistics)

    return split


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("in_axis", [over_two_devices, over_a_mapped_axis])
def test_a_named_axis_averages_the_statistics(in_axis, fast):
    whole, _ = pair_with_statistics()
    expected = step(whole, X)
    ours, theirs = pair_with_statistics(axis_name="batch", use_fast_variance=fast)
    assert_equal(step(ours, X, in_axis=in_axis), expected)
    assert_equal(step(theirs, X, in_axis=in_axis), expected)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"use_fast_variance": False}, {"use_scale": False}, {"use_bias": False}])
@pytest.mark.parametrize("mask", [None, MASK])
def test_each_virtual_batch_is_normalised_by_itself(options, mask):
    whole, share = BatchNorm(6, virtual_batches=2, rngs=nnx.Rngs(0), **options), pair_with_statistics(**options)[0]
    nnx.update(whole, nnx.state(share))
    (params, dx), (y, moved) = step(whole, X, mask=mask)
    halves = [step(share, X[at], mask=None if mask is None else mask[at]) for at in (slice(0, 2), slice(2, 4))]
    (params1, dx1), (y1, moved1) = halves[0]
    (params2, dx2), (y2, moved2) = halves[1]
    assert_equal((y, dx), (jnp.concatenate([y1, y2]), jnp.concatenate([dx1, dx2])))
    assert_equal(params, jax.tree.map(jnp.add, params1, params2))
    assert_equal(moved, jax.tree.map(lambda a, b: (a + b) / 2, moved1, moved2))
    assert not np.allclose(y, step(share, X, mask=mask)[1][0], atol=1e-2)


def test_virtual_batches_are_for_training_alone_and_may_be_set_later():
    norm, plain = pair_with_statistics()[0], pair_with_statistics()[0]
    norm.virtual_batches = 4
    np.testing.assert_array_equal(norm(X, use_running_average=True), plain(X, use_running_average=True))
    norm(X)
    np.testing.assert_allclose(norm.var[...], 0.9 * plain.var[...] + 0.1 * X.var((1, 2)).mean(0), rtol=1e-5)


def test_virtual_batches_must_divide_the_batch():
    norm = BatchNorm(6, virtual_batches=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="virtual_batches=3 does not divide the batch of 8"):
        norm(jnp.ones((8, 6)))
    assert norm(jnp.ones((8, 6)), use_running_average=True).shape == (8, 6)


@pytest.mark.parametrize("fast", [True, False])
def test_virtual_batches_on_devices_of_their_own_exchange_no_activations(fast):
    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    shares, whole = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
    graph, state = nnx.split(BatchNorm(6, virtual_batches=2, use_fast_variance=fast, rngs=nnx.Rngs(0)))

    def loss(state, x):
        norm = nnx.merge(graph, state, copy=True)
        return jnp.sin(norm(x)).sum(), nnx.state(norm)

    gradient = jax.jit(
        jax.grad(loss, (0, 1), has_aux=True), in_shardings=(whole, shares), out_shardings=((whole, shares), whole)
    )
    program = gradient.lower(state, X).compile().as_text()
    assert not re.search("all-gather|all-to-all|collective-permute", program)
    reduced = re.findall(r"= (.*?) all-reduce", program)
    assert reduced
    assert set(re.findall(r"\w+\[.*?\]", " ".join(reduced))) <= {"f32[6]", "f32[]"}


def test_the_slow_variance_is_right_where_the_mean_is_large():
    x = 1e4 + X
    norm = BatchNorm(6, use_fast_variance=False, rngs=nnx.Rngs(0))
    norm(x)
    np.testing.assert_allclose(norm.var[...], np.asarray(x, np.float64).var((0, 1, 2)), rtol=1e-4)


def test_initializers_are_arguments():
    ones, zeros = nnx.initializers.ones, nnx.initializers.zeros
    norm = BatchNorm(6, scale_init=zeros, bias_init=ones, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(norm(X), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.1}, "momentum=1.1 must be"),
        ({}, "channels=0 must"),
        ({"virtual_batches": 0}, "virtual_batches=0 must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(6 if options else 0, rngs=nnx.Rngs(0), **options)


def test_bfloat16_keeps_float32_statistics():
    norm = BatchNorm(3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert norm(jnp.ones((2, 3, 3, 3))).dtype == jnp.bfloat16
    assert norm.mean.dtype == norm.var.dtype == jnp.float32
    np.testing.assert_array_equal(norm.mean[...], 1)


def test_float64_keeps_float32_statistics(float64):
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    assert norm(jnp.ones((2, 3), jnp.float64)).dtype == jnp.float64
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(norm))} == {jnp.dtype(jnp.float32)}


def run(norm, batches):
    """The statistics after each of the batches."""
    graph, state = nnx.split(norm)

    def one(state, x):
        norm = nnx.merge(graph, state, copy=True)
        norm(x)
        return nnx.state(norm), (norm.mean[...], norm.var[...])

    return jax.jit(partial(jax.lax.scan, one))(state, batches)[1]


def test_running_statistics_start_as_those_of_the_first_batch():
    """They remember about a ninth of the batches until the momentum's share is more, and do not know of 0 and 1."""
    batches = jnp.asarray(RANDOM.normal(1, 0.05, (3, 4, 6)), jnp.float32)
    mean, var = run(BatchNorm(6, rngs=nnx.Rngs(0)), batches)
    np.testing.assert_array_equal(mean[0], batches[0].mean(0))
    np.testing.assert_allclose(var[0], batches[0].var(0), rtol=1e-3)
    np.testing.assert_allclose(mean[1], 0.1 * mean[0] + 0.9 * batches[1].mean(0), rtol=1e-5)
    np.testing.assert_allclose(mean[2], 2 / 11 * mean[1] + 9 / 11 * batches[2].mean(0), rtol=1e-5)


def test_running_statistics_are_flaxs_after_many_batches():
    batches = jnp.asarray(RANDOM.normal(1, 0.05, (250, 4, 6)), jnp.float32)
    ours = run(BatchNorm(6, rngs=nnx.Rngs(0)), batches)
    theirs = run(nnx.BatchNorm(6, momentum=0.9, rngs=nnx.Rngs(0)), batches)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a[-1], b[-1], rtol=1e-4)
        assert not np.allclose(a[20], b[20], rtol=1e-2)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.997, 1.0])
def test_any_momentum_counts_where_statistics_came_from_elsewhere(momentum):
    batches = jnp.asarray(RANDOM.normal(1, 0.05, (3, 4, 1)), jnp.float32)
    norm = BatchNorm(1, momentum=momentum, rngs=nnx.Rngs(0))
    norm.mean[...], norm.var[...] = jnp.array([3.0]), jnp.array([2.0])
    expected = 3.0
    for batch, moved in zip(batches, run(norm, batches)[0], strict=True):
        expected = momentum * expected + (1 - momentum) * batch.mean()
        np.testing.assert_allclose(moved, expected, rtol=1e-6)
