"""The Pallas kernels of depthwise convolutions, interpreted, against `jax.lax.conv_general_dilated`."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from zoo import ops

CASES = {  # shape, kernel size and options
    "plain": ((2, 7, 6, 5), (3, 3), {}),
    "stride": ((2, 9, 8, 8), (3, 3), {"window_strides": (2, 2)}),
    "dilation": ((1, 9, 8, 3), (3, 2), {"rhs_dilation": (2, 3), "window_strides": (2, 1), "padding": ((0, 2), (1, 0))}),
    "cropped": ((1, 9, 9, 3), (3, 3), {"padding": ((-1, -2), (-1, 3)), "window_strides": (1, 2)}),
    "pixels that no tap meets": ((1, 5, 5, 4), (1, 1), {"padding": "VALID", "window_strides": (2, 3)}),
    "two blocks of channels": ((2, 4, 4, 130), (2, 2), {"window_strides": (3, 3)}),
    "no examples": ((0, 4, 4, 2), (3, 3), {}),
}


def convolve(convolution, x, kernel, options):
    options = {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": x.shape[-1]} | options
    return convolution(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)


@pytest.mark.parametrize(("shape", "kernel_size", "options"), CASES.values(), ids=CASES)
def test_all_directions_agree_in_float64(shape, kernel_size, options, float64):
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(size)) for size in (shape, (*kernel_size, 1, shape[-1])))

    def value_and_gradients(convolution, x, kernel):
        y, transpose = jax.vjp(partial(convolve, convolution, options=options), x, kernel)
        return y, *transpose(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    compiled = jax.jit(value_and_gradients, static_argnums=0)
    theirs = compiled(lax.conv_general_dilated, x, kernel)
    with ops.force_lowering("depthwise_pallas"):
        ours = compiled(ops.conv_general_dilated, x, kernel)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-11), ours, theirs)


@pytest.mark.parametrize(
    ("shape", "out_channels", "obstacle"),
    [
        ((1, 8, 8, 4), 8, "groups=4 and out_channels=8 must be as many as channels=4"),
        ((1, 112, 112, 4), 4, "its 29156 pixels, padded, must be at most 12000"),
        ((1, 56, 56, 4), 4, None),
    ],
)
def test_what_does_not_fit_is_named(shape, out_channels, obstacle):
    x, kernel = (jax.ShapeDtypeStruct(size, "float32") for size in (shape, (3, 3, 1, out_channels)))
    with ops.force_lowering("depthwise_pallas"):
        choice = convolve(ops.explain, x, kernel, {})
    expected = ("depthwise_pallas", "forced")
    if obstacle is not None:
        expected = ("native", f"'depthwise_pallas' is forced, but {obstacle}")
    assert choice == expected
