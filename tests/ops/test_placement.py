"""The operations over several devices: sharded by the compiler, by explicit types, and by hand."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from zoo import ops
from zoo.analysis import exchanges
from zoo.ops.lowering import winograd

X = jnp.asarray(np.random.default_rng(0).standard_normal((16, 6, 6, 8)), jnp.float32)
KERNELS = {
    "depthwise": (3, 3, 1, 8),
    "grouped": (3, 3, 4, 8),
    "pointwise": (1, 1, 8, 4),
    "dense": (3, 3, 8, 4),
    "winograd": (3, 3, 8, 4),
}


def loss(x, kernel):
    y = ops.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=8 // kernel.shape[2]
    )
    products, totals = ops.channel_sums(y, y)
    return (jnp.sin(ops.channel_affine(y, products / y.size, totals / y.size)) ** 2).sum()


def mesh(kind: AxisType) -> Mesh:
    return jax.make_mesh((2,), ("batch",), axis_types=(kind,), devices=jax.devices()[:2])


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    monkeypatch.setattr(winograd, "_parts", lambda *_: 2)  # it loops over larger batches alone
    # The rules give it to larger convolutions alone.
    with ops.force_lowering("winograd") if request.param == "winograd" else nullcontext():
        yield jnp.asarray(np.random.default_rng(1).standard_normal(KERNELS[request.param]), jnp.float32) / 10


@pytest.mark.parametrize("axis", ["data", "batch"])
def test_the_loops_of_winograd_are_divided_between_devices(axis, monkeypatch):
    """By `shard_map` where the axis is known as that of the examples, otherwise by XLA, which sums up one flag."""
    monkeypatch.setattr(winograd, "_parts", lambda *_: 2)

    def both(x, kernel):
        convolve = partial(ops.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y, transpose = jax.vjp(lambda x: convolve(x, kernel, (1, 1), "SAME"), x)
        return y, *transpose(jnp.sin(y))

    devices = jax.make_mesh((2,), (axis,), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    with jax.set_mesh(devices), ops.force_lowering("winograd"):
        x = jax.ShapeDtypeStruct(X.shape, X.dtype, sharding=NamedSharding(devices, P(axis)))
        kernel = jax.ShapeDtypeStruct(KERNELS["winograd"], X.dtype, sharding=NamedSharding(devices, P()))
        compiled = jax.jit(both).lower(x, kernel).compile()
    assert compiled.as_text().count(" while(") == 2
    assert max((exchange.elements for exchange in exchanges(compiled)), default=0) == (axis == "batch")


def assert_close(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_gradients_of_a_sharded_batch_are_those_of_the_whole(kernel, kind):
    expected = jax.grad(loss, (0, 1))(X, kernel)
    with jax.set_mesh(mesh(kind)):
        sharding = NamedSharding(jax.sharding.get_mesh(), P("batch"))
        x = jax.device_put(X, sharding)
        replicated = jax.device_put(kernel, NamedSharding(jax.sharding.get_mesh(), P()))
        dx, dkernel = jax.jit(jax.grad(loss, (0, 1)))(x, replicated)
    assert dx.sharding.is_equivalent_to(sharding, dx.ndim)
    assert_close((dx, dkernel), expected)


def test_shard_map_gives_each_device_its_part(kernel):
    @partial(jax.shard_map, mesh=mesh(AxisType.Auto), in_specs=(P("batch"), P()), out_specs=P("batch"))
    def gradient(x, kernel):
        return jax.grad(loss)(x, kernel)

    expected = jnp.concatenate([jax.grad(loss)(half, kernel) for half in jnp.split(X, 2)])
    assert_close([jax.jit(gradient)(X, kernel)], [expected])
