from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import Conv
from zoo.blocks.transposed import ConvTranspose, ResizeConv

GEOMETRIES = [
    {"kernel_size": 4, "stride": 2},
    {"kernel_size": 3, "stride": 2, "output_padding": 1},
    {"kernel_size": 3, "stride": 3, "padding": 0, "output_padding": 2},
    {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 1},
    {"kernel_size": 5, "stride": 1},
    {"kernel_size": 2, "stride": 3, "padding": 0},
]


def random(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def size(length, kernel_size, stride, padding=None, dilation=1, output_padding=0):
    extent = dilation * (kernel_size - 1)
    return stride * (length - 1) + extent + 1 - 2 * (extent // 2 if padding is None else padding) + output_padding


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_it_is_the_adjoint_of_the_convolution(geometry):
    transposed = ConvTranspose(5, 3, use_bias=False, rngs=nnx.Rngs(0), **geometry)
    conv = Conv(
        3,
        5,
        use_bias=False,
        rngs=nnx.Rngs(0),
        **{name: value for name, value in geometry.items() if name != "output_padding"},
    )
    conv.kernel[...] = transposed.kernel[...].swapaxes(2, 3)
    y = random((2, 4, 5, 5))
    height, width = size(4, **geometry), size(5, **geometry)
    x = jnp.zeros((2, height, width, 3))
    assert conv(x).shape == y.shape
    _, gradient = jax.vjp(conv, x)
    np.testing.assert_allclose(transposed(y), gradient(y)[0], atol=1e-5)


def test_every_input_stamps_the_kernel_on_the_output():
    conv = ConvTranspose(1, 1, 3, stride=2, padding=0, use_bias=False, rngs=nnx.Rngs(0))
    assert conv.kernel.shape == (3, 3, 1, 1)
    y = conv(jnp.zeros((1, 2, 2, 1)).at[0, 1, 0].set(2.0))
    assert y.shape == (1, 5, 5, 1)
    expected = np.zeros((5, 5))
    expected[2:, :3] = 2 * conv.kernel[..., 0, 0]
    np.testing.assert_allclose(y[0, ..., 0], expected, atol=1e-6)


def test_the_bias_is_added_and_dtypes_are_kept_apart():
    conv = ConvTranspose(2, 3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    conv.bias[...] = jnp.asarray([1.0, 2.0, 3.0])
    y = conv(jnp.zeros((1, 4, 4, 2)))
    assert y.shape == (1, 8, 8, 3)
    assert (y.dtype, conv.kernel.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_array_equal(y[0, 3, 3].astype(jnp.float32), [1, 2, 3])


def inner_values(layer, kernel):
    """What a map of ones becomes under a kernel of ones, away from the border."""
    kernel[...] = jnp.ones_like(kernel[...])
    return np.unique(layer(jnp.ones((1, 8, 8, 1)))[:, 4:-4, 4:-4])


@pytest.mark.parametrize(
    ("kernel_size", "stride", "values"),
    [(3, 2, [1, 2, 4]), (5, 2, [4, 6, 9]), (4, 3, [1, 2, 4]), (4, 2, [4]), (2, 2, [1]), (6, 3, [4])],
)
def test_overlap_is_even_where_the_stride_divides_the_kernel_size(kernel_size, stride, values):
    conv = ConvTranspose(1, 1, kernel_size, stride=stride, use_bias=False, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(inner_values(conv, conv.kernel), values)


@pytest.mark.parametrize(("kernel_size", "scale"), [(3, 2), (5, 2), (3, 4)])
def test_resize_convolutions_overlap_evenly(kernel_size, scale):
    layer = ResizeConv(1, 1, kernel_size, scale=scale, use_bias=False, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(inner_values(layer, layer.conv.kernel), [kernel_size**2])


def test_resize_repeats_pixels_before_it_convolves():
    layer = ResizeConv(2, 3, 1, scale=2, rngs=nnx.Rngs(0))
    x = random((1, 3, 4, 2))
    y = layer(x)
    assert y.shape == (1, 6, 8, 3)
    for row in range(2):
        for column in range(2):
            np.testing.assert_allclose(y[:, row::2, column::2], layer.conv(x), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride=0 must be at least 1"),
        ({"kernel_size": -1}, "kernel_size=-1 must be at least 1"),
        ({"padding": 4}, r"padding=4 must be from 0 to dilation \* \(kernel_size - 1\) = 3"),
        ({"output_padding": 2}, "output_padding=2 must be at least 0 and below stride=2"),
    ],
)
def test_a_bad_geometry_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvTranspose(2, 2, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scale": 0}, "scale=0 must be at least 1"), ({"kernel_size": 4}, "kernel_size=4 must be odd")],
)
def test_a_bad_resize_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResizeConv(2, 2, rngs=nnx.Rngs(0), **options)
