"""`zoo.ops.lowering.im2col`: against `lax`, and where the rules choose it."""

from __future__ import annotations

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quick import assert_within_rounding
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
    assert_within_rounding("im2col", *case, {"float32": 3e-6, "float64": 1e-13})


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
