"""`zoo.ops.conv_general_dilated` against `jax.lax.conv_general_dilated`."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from zoo import ops

NHWC = ("NHWC", "HWIO", "NHWC")


def arrays(x_shape, kernel_shape, dtype="float64"):
    random = np.random.default_rng(0)
    return tuple(jnp.asarray(random.standard_normal(shape), dtype) for shape in (x_shape, kernel_shape))


def objective(convolution, **options):
    """A scalar function of (x, kernel) with non-trivial first and second derivatives."""

    def function(x, kernel):
        return jnp.sin(convolution(x, kernel, dimension_numbers=NHWC, **options)).sum()

    return function


def assert_agree(ours, theirs, tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@st.composite
def convolutions(draw):
    """Shapes and options of depthwise, grouped, pointwise and dense convolutions."""
    groups, in_width, multiplier = draw(
        st.sampled_from([(6, 1, 1), (6, 1, 2), (4, 2, 1), (2, 3, 2), (18, 1, 1), (6, 4, 1), (1, 5, 3), (1, 1, 4)])
    )
    kernel_size = draw(st.integers(1, 7))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    sides = st.integers(0, 3)
    padding = draw(
        st.one_of(st.sampled_from(["SAME", "VALID"]), st.tuples(st.tuples(sides, sides), st.tuples(sides, sides)))
    )
    size = st.integers(1, 12)
    channels = groups * in_width
    x_shape = (draw(st.sampled_from([0, 1, 2, 3, 16])), draw(size), draw(size), channels)
    kernel_shape = (kernel_size, draw(st.integers(1, kernel_size)), in_width, channels * multiplier)
    options = {
        "window_strides": (stride, draw(st.integers(1, 3))),
        "padding": padding,
        "rhs_dilation": (dilation, dilation),
        "feature_group_count": groups,
    }
    return x_shape, kernel_shape, options


@given(convolutions())
def test_value_and_both_gradients_agree_in_float64(case):
    x_shape, kernel_shape, options = case
    with jax.enable_x64(True):
        x, kernel = arrays(x_shape, kernel_shape)
        ours, theirs = (
            jax.jit(jax.value_and_grad(objective(convolution, **options), (0, 1)))(x, kernel)
            for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
        )
        assert_agree(ours, theirs, 1e-10)


@given(convolutions())
def test_float32_is_within_rounding_of_float64_at_any_geometry(case):
    """XLA's own kernel gradient in float32 is off by more than that, so ours is compared with the exact one."""
    x_shape, kernel_shape, options = case
    results = {}
    with jax.enable_x64(True):
        for convolution, dtype in ((ops.conv_general_dilated, "float32"), (lax.conv_general_dilated, "float64")):
            x, kernel = (array.astype("float32").astype(dtype) for array in arrays(x_shape, kernel_shape))
            function = partial(convolution, dimension_numbers=NHWC, **options)
            y, gradients = jax.vjp(function, x, kernel)
            results[dtype] = (y, *gradients(jnp.ones_like(y)))
    for ours, exact in zip(results["float32"], results["float64"], strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-5 * max(np.abs(exact).max(initial=0), 1))


@given(convolutions())
def test_dilated_inputs_agree_in_float64(case):
    """The transposed convolution: strides of the output instead of the input."""
    x_shape, kernel_shape, options = case
    padding = options["padding"] if not isinstance(options["padding"], str) else ((2, 1), (0, 1))
    options |= {"window_strides": (1, 1), "lhs_dilation": options["window_strides"], "padding": padding}
    with jax.enable_x64(True):
        x, kernel = arrays(x_shape, kernel_shape)
        ours, theirs = (
            jax.jit(jax.value_and_grad(objective(convolution, **options), (0, 1)))(x, kernel)
            for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
        )
        assert_agree(ours, theirs, 1e-10)


DEPTHWISE = {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 8}
CASES = {
    "depthwise": ((2, 9, 9, 8), (3, 3, 1, 8), DEPTHWISE),
    "depthwise stride 2": ((2, 9, 9, 8), (3, 3, 1, 16), DEPTHWISE | {"window_strides": (2, 2)}),
    "grouped": ((2, 9, 9, 8), (3, 3, 4, 8), DEPTHWISE | {"feature_group_count": 2}),
    "pointwise": ((2, 9, 9, 8), (1, 1, 8, 4), DEPTHWISE | {"feature_group_count": 1}),
    "dense": ((16, 9, 9, 8), (3, 3, 8, 4), DEPTHWISE | {"feature_group_count": 1}),
    "transposed": ((2, 5, 5, 8), (3, 3, 8, 4), {"window_strides": (1, 1), "padding": ((1, 2), (1, 2)),
                                                "lhs_dilation": (2, 2)}),
    "dense stride 2": ((2, 9, 9, 8), (3, 3, 8, 4), {"window_strides": (2, 2), "padding": "SAME"}),
    "winograd": ((2, 9, 9, 8), (3, 3, 8, 4), {"window_strides": (1, 1), "padding": "SAME"}),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    # The rules give it to larger convolutions alone.
    with ops.force_lowering("winograd") if request.param == "winograd" else nullcontext():
        yield CASES[request.param]


def test_float32_is_within_rounding_of_float64(case, float64):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape, "float32")
    exact = jax.grad(objective(lax.conv_general_dilated, **options), (0, 1))(*arrays(x_shape, kernel_shape))
    for ours, theirs in zip(
        jax.grad(objective(ops.conv_general_dilated, **options), (0, 1))(x, kernel), exact, strict=True
    ):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_bfloat16_is_within_its_rounding(case):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape, "bfloat16")
    ours = ops.conv_general_dilated(x, kernel, dimension_numbers=NHWC, **options)
    exact = lax.conv_general_dilated(
        x.astype(jnp.float32), kernel.astype(jnp.float32), dimension_numbers=NHWC, **options
    )
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=0, atol=2**-7 * np.abs(exact).max())


@pytest.mark.slow
def test_second_derivatives_agree(case, float64):
    _, kernel_shape, options = case
    x, kernel = arrays((1, 4, 4, 8), kernel_shape)
    direction = jax.tree.map(jnp.cos, (x, kernel))

    def hessian_vector_product(convolution):
        gradient = jax.grad(objective(convolution, **options), (0, 1))
        forward_over_reverse = jax.jvp(gradient, (x, kernel), direction)[1]
        reverse_over_reverse = jax.grad(
            lambda *point: sum(jnp.vdot(a, b) for a, b in zip(gradient(*point), direction, strict=True)), (0, 1)
        )(x, kernel)
        return forward_over_reverse, reverse_over_reverse

    assert_agree(
        hessian_vector_product(ops.conv_general_dilated), hessian_vector_product(lax.conv_general_dilated), 1e-10
    )


@pytest.mark.slow
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 3)])
def test_vmap_agrees(case, axes, float64):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape)
    batched = [
        value if axis is None else jnp.stack([value, 2 * value, -value], axis)
        for value, axis in zip((x, kernel), axes, strict=True)
    ]
    ours, theirs = (
        jax.vmap(jax.grad(objective(convolution, **options), (0, 1)), axes)(*batched)
        for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
    )
    assert_agree(ours, theirs, 1e-10)


def test_exports_to_several_platforms_at_once(case):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape, "float32")
    function = jax.jit(jax.grad(objective(ops.conv_general_dilated, **options), (0, 1)))
    exported = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(x, kernel)
    assert_agree(exported.call(x, kernel), function(x, kernel), 1e-5)


def test_rematerialisation_changes_nothing(case):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape, "float32")
    function = objective(ops.conv_general_dilated, **options)
    plain, rematerialised = (jax.grad(f, (0, 1))(x, kernel) for f in (function, jax.checkpoint(function)))
    assert_agree(rematerialised, plain, 1e-5)


def test_gradients_in_a_loop_are_those_outside(case):
    x_shape, kernel_shape, options = case
    x, kernel = arrays(x_shape, kernel_shape, "float32")
    gradient = jax.grad(objective(ops.conv_general_dilated, **options), (0, 1))
    in_loop = jax.jit(lambda n, x, kernel: lax.fori_loop(0, n, lambda _, __: gradient(x, kernel), (x, kernel)))
    assert_agree(in_loop(2, x, kernel), gradient(x, kernel), 1e-5)


def test_it_serves_plain_flax_modules():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 7, 6)), jnp.float32)
    for options in ({"feature_group_count": 6}, {"feature_group_count": 3, "strides": 2}, {"kernel_dilation": 2}):
        ours, theirs = (
            nnx.Conv(6, 12, (3, 3), conv_general_dilated=convolution, rngs=nnx.Rngs(0), **options)(x)
            for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
