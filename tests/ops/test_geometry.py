from __future__ import annotations

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo import ops


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "expected"), [(3, 1, 3), (3, 2, 5), (3, 4, 9), (7, 3, 19), (1, 8, 1)]
)
def test_effective_kernel_size(kernel_size, dilation, expected):
    assert ops.effective_kernel_size(kernel_size, dilation) == expected


@given(size=st.integers(1, 40), half=st.integers(0, 3), dilation=st.integers(1, 4))
def test_symmetric_padding_keeps_the_size_for_odd_kernels(size, half, dilation):
    kernel_size = 2 * half + 1
    padding = ops.symmetric_padding(kernel_size, dilation)
    assert ops.output_size(size, kernel_size, padding=padding, dilation=dilation) == size


@given(
    size=st.integers(1, 20),
    kernel_size=st.integers(1, 7),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_output_size_is_what_lax_gives(size, kernel_size, stride, dilation, padding):
    x = jax.ShapeDtypeStruct((1, 1, size, size), float)
    kernel = jax.ShapeDtypeStruct((1, 1, kernel_size, kernel_size), float)
    convolve = lambda x, kernel: jax.lax.conv_general_dilated(  # noqa: E731
        x, kernel, (stride, stride), (padding, padding), rhs_dilation=(dilation, dilation)
    )
    expected = jax.eval_shape(convolve, x, kernel).shape[2]
    assert ops.output_size(size, kernel_size, stride=stride, padding=padding, dilation=dilation) == expected
