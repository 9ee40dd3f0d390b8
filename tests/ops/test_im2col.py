"""`zoo.ops.lowering.im2col`: against `lax`, and where the rules choose it."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from tests.quick import value_and_gradients
from zoo import ops
from zoo.ops.lowering.select import ANY_DIRECTION


@st.composite
def convolutions(draw):
    """Shapes and options of dense convolutions."""

    def pair(values):
        return draw(st.tuples(values, values))

    kernel_size, strides, dilation = pair(st.integers(1, 4)), pair(st.integers(1, 3)), pair(st.integers(1, 3))
    padding = pair(st.tuples(st.integers(-1, 3), st.integers(-1, 3)))
    sizes = [
        max(draw(st.integers(1, 9)), 1 + d * (k - 1) - sum(pads))  # at least one output
        for k, d, pads in zip(kernel_size, dilation, padding, strict=True)
    ]
    options = {"window_strides": strides, "padding": padding, "rhs_dilation": dilation}
    return (draw(st.sampled_from([0, 1, 8])), *sizes, 2), (*kernel_size, 2, 3), options


@settings(max_examples=8)  # three programs each
@given(convolutions())
def test_it_is_within_rounding_of_the_exact_convolution(case):
    x_shape, kernel_shape, options = case
    random = np.random.default_rng(0)
    x, kernel = (random.standard_normal(shape).astype("float32") for shape in (x_shape, kernel_shape))
    with jax.enable_x64(True), ops.force_lowering("im2col"):
        exact = value_and_gradients(lax.conv_general_dilated, options, x.astype("float64"), kernel.astype("float64"))
        for dtype, tolerance in (("float32", 3e-6), ("float64", 1e-13)):
            ours = value_and_gradients(ops.conv_general_dilated, options, x.astype(dtype), kernel.astype(dtype))
            for a, b in zip(ours, exact, strict=True):
                assert a.dtype == dtype
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(initial=0))


@pytest.mark.parametrize(
    ("examples", "channels", "stride", "dtype", "chosen"),
    [
        (8, (128, 128), 2, "float32", ANY_DIRECTION),
        (8, (64, 128), 2, "float32", ("kernel_gradient",)),
        (8, (16, 128), 2, "float32", ()),
        (8, (128, 128), 2, "bfloat16", ()),
        (1, (128, 128), 1, "float32", ("forward",)),  # 64 pixels, in 4 tiles
        (1, (64, 128), 1, "float32", ()),
        (8, (3, 32), 1, "float32", ("kernel_gradient",)),  # a stem
    ],
)
def test_the_rules_take_it_where_one_product_is_faster(examples, channels, stride, dtype, chosen):
    x = jax.ShapeDtypeStruct((examples, 8, 8, channels[0]), dtype)
    kernel = jax.ShapeDtypeStruct((3, 3, *channels), dtype)
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "platform": "cpu"}
    for direction in ANY_DIRECTION:
        choice = ops.explain(x, kernel, (stride,) * 2, "SAME", direction=direction, **options)
        assert choice.lowering == ("im2col" if direction in chosen else "dense")
