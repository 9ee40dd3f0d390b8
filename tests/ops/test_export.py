"""Programs exported once for any number of examples, any height and any width (`jax.export`)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from zoo import ops
from zoo.blocks import ConvNormAct

NHWC = ("NHWC", "HWIO", "NHWC")
CASES = {
    "depthwise": ((3, 3, 1, 4), {"feature_group_count": 4}),
    "depthwise stride 2": ((3, 3, 1, 8), {"feature_group_count": 4, "window_strides": (2, 2)}),
    "grouped": ((3, 3, 2, 4), {"feature_group_count": 2, "window_strides": (1, 2)}),
    "pointwise": ((1, 1, 4, 3), {"padding": "VALID"}),
    "pointwise stride 2": ((1, 1, 4, 3), {"padding": "VALID", "window_strides": (2, 2)}),
    "dense": ((3, 3, 4, 3), {}),
    "dense stride 3": ((3, 3, 4, 3), {"window_strides": (3, 3)}),
    "by name": ((3, 2, 4, 3), {"window_strides": (2, 2), "padding": "SAME"}),
    "valid": ((3, 3, 4, 3), {"window_strides": (2, 2), "padding": "VALID"}),
    "transposed": ((3, 3, 4, 3), {"lhs_dilation": (2, 2)}),
}


def exported(function, shape, *others):
    """`function` of an array of a symbolic shape and of others, exported and called with float32 arrays."""
    scope = export.SymbolicScope([f"{name} >= 3" for name in "hw" if name in shape])
    x = jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), jnp.float32)
    return export.export(jax.jit(function))(x, *others)


def assert_close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", ["b, 7, 8, 4", "b, h, w, 4"])
@pytest.mark.parametrize(("kernel", "options"), CASES.values(), ids=CASES)
def test_value_and_gradients_of_a_convolution(shape, kernel, options):
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in ((16, 7, 8, 4), kernel))
    options = {"window_strides": (1, 1), "padding": ((1, 1), (1, 1)), "dimension_numbers": NHWC} | options

    def function(x, kernel):
        return jnp.sin(ops.conv_general_dilated(x, kernel, **options)).mean()

    function = jax.value_and_grad(function, (0, 1))
    expected = jax.jit(function)(x, kernel)
    assert_close(exported(function, shape, kernel).call(x, kernel), expected)


@pytest.mark.parametrize(("kernel", "options"), CASES.values(), ids=CASES)
def test_a_symbolic_number_of_examples_keeps_the_lowering(kernel, options):
    (b, h) = export.symbolic_shape("b, h")
    options = {"window_strides": (1, 1), "padding": ((1, 1), (1, 1)), "dimension_numbers": NHWC} | options
    explain = partial(ops.explain, rhs=jax.ShapeDtypeStruct(kernel, jnp.float32), platform="cpu", **options)
    for direction in ("forward", "input_gradient", "kernel_gradient"):
        numeric, symbolic, symbolic_map = (
            explain(jax.ShapeDtypeStruct(shape, jnp.float32), direction=direction)
            for shape in ((16, 7, 8, 4), (b, 7, 8, 4), (16, h, 8, 4))
        )
        assert numeric == symbolic
        assert symbolic.lowering != "native"
        assert symbolic_map == ("native", "height or width is symbolic")


def test_vmap_over_a_symbolic_axis():
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in ((3, 2, 5, 5, 4), (3, 3, 4, 2)))

    def gradient(x, kernel):
        convolve = partial(ops.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=NHWC)
        return jax.grad(lambda x: jnp.sin(convolve(x, kernel)).sum())(x)

    function = jax.vmap(gradient, (0, None))
    assert_close(exported(function, "n, 2, 5, 5, 4", kernel).call(x, kernel), function(x, kernel))


@pytest.mark.parametrize("shape", ["b, 4", "8*b, 5, 6, 4", "b, h, w, 4"])
def test_the_sums_of_batch_normalisation(shape):
    def normalise(x, scale):
        products, totals = ops.channel_sums(x, x)
        count = x.size // x.shape[-1]
        mean = totals / count
        variance = products / count - mean**2
        return jnp.sin(ops.channel_affine(x, scale / jnp.sqrt(variance + 0.1), mean)).mean()

    function = jax.value_and_grad(normalise, (0, 1))
    size = {"b": 16, "8*b": 16, "h": 5, "w": 6}
    sizes = [size.get(name) or int(name) for name in shape.split(", ")]
    x, scale = jnp.asarray(np.random.default_rng(0).standard_normal(sizes), jnp.float32), jnp.arange(1.0, 5)
    expected = jax.jit(function)(x, scale)
    assert_close(exported(function, shape, scale).call(x, scale), expected)


def test_a_training_step_of_any_number_height_and_width():
    blocks = nnx.Sequential(
        ConvNormAct(4, 6, stride=2, rngs=nnx.Rngs(0)), ConvNormAct(6, 6, groups=6, stride=2, rngs=nnx.Rngs(1))
    )
    graph, params, rest = nnx.split(blocks, nnx.Param, ...)

    def function(x, params, rest):
        def loss(params):
            model = nnx.merge(graph, params, rest, copy=True)
            model.train()
            return jnp.sin(model(x)).mean(), nnx.state(model, nnx.BatchStat)

        return jax.value_and_grad(loss, has_aux=True)(params)

    x = jax.random.normal(jax.random.key(0), (16, 9, 8, 4))
    expected = jax.jit(function)(x, params, rest)
    for shape in ("b, 9, 8, 4", "b, h, w, 4"):
        assert_close(exported(function, shape, params, rest).call(x, params, rest), expected)
