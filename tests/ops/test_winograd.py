"""The Winograd lowering against `jax.lax.conv_general_dilated`: any geometry, and what it takes of memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from tests.quick import assert_within_rounding, value_and_gradients
from zoo import ops
from zoo.ops.lowering import winograd

NHWC = ("NHWC", "HWIO", "NHWC")


@st.composite
def convolutions(draw):
    """Shapes and options of 3×3 convolutions at stride 1, and in how many parts to compute them."""
    size, side, channels = st.integers(1, 13), st.integers(-1, 5), st.integers(1, 3)
    dilation = draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding = draw(st.tuples(*[st.tuples(side, side)] * 2))
    # At least one output
    sizes = [max(draw(size), 1 + 2 * d - sum(pads)) for d, pads in zip(dilation, padding, strict=True)]
    examples, groups = draw(st.sampled_from([0, 1, 4, 6])), draw(channels)
    inputs, outputs = 2 * draw(channels), 2 * draw(channels)
    options = {"window_strides": (1, 1), "padding": padding, "rhs_dilation": dilation,
               "feature_group_count": groups}  # fmt: skip
    parts = draw(st.sampled_from([1, 2])) if examples > 1 else 1, draw(st.sampled_from([1, 2]))
    return (examples, *sizes, groups * inputs), (3, 3, inputs, groups * outputs), options, parts


@settings(max_examples=5)  # three programs each
@given(convolutions())
def test_it_is_within_rounding_of_the_exact_convolution(case):
    *convolution, (parts, channel_parts) = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_parts", lambda *_: parts)
        patch.setattr(winograd, "_NARROWEST_GROUP", 1)
        patch.setattr(winograd, "_channel_parts", lambda *_: channel_parts)
        assert_within_rounding("winograd", *convolution, {"float32": 1e-5, "float64": 1e-12})


@pytest.mark.parametrize(("side", "tolerance"), [(4, 3e-6), (2, 1e-6)])
def test_its_points_keep_it_exact_over_many_channels(side, tolerance, float64, monkeypatch):
    """At the points of the paper, 0, ±1 and ±2, F(4×4) would be off by 1e-5."""
    monkeypatch.setattr(winograd, "_MATRICES", {side: winograd._MATRICES[side]})
    random = np.random.default_rng(0)
    x, kernel = (random.standard_normal(shape).astype("float32") for shape in ((2, 8, 8, 128), (3, 3, 128, 128)))
    options = {"window_strides": (1, 1), "padding": "SAME"}
    with ops.force_lowering("winograd"):
        ours = value_and_gradients(ops.conv_general_dilated, options, x, kernel)
    exact = value_and_gradients(lax.conv_general_dilated, options, x.astype("float64"), kernel.astype("float64"))
    for a, b in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def test_it_is_exported_for_any_number_of_examples():
    random = np.random.default_rng(0)
    x, kernel = (random.standard_normal(shape).astype("float32") for shape in ((4, 7, 8, 4), (3, 3, 4, 6)))
    convolve = partial(ops.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=NHWC)
    function = jax.jit(jax.value_and_grad(lambda x, kernel: jnp.sin(convolve(x, kernel)).mean(), (0, 1)))
    with ops.force_lowering("winograd"):
        symbolic = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 7, 8, 4"), "float32")
        exported = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(symbolic, kernel)
        assert "stablehlo.convolution" not in exported.mlir_module()
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), exported.call(x, kernel), function(x, kernel))


def test_the_number_of_parts_is_a_bound_on_the_memory_of_tiles():
    def parts(examples, size, channels):
        geometry = winograd.ConvGeometry(
            (size, size), channels, (3, 3, channels, channels), (1, 1), ((1, 1),) * 2, (1, 1), 1
        )
        tiling, dtype = winograd.Tiling.of(geometry), np.dtype("float32")
        of_examples = winograd._parts(examples, tiling, geometry, dtype)
        return of_examples, winograd._channel_parts(tiling, geometry, dtype)

    assert parts(64, 32, 64) == (16, 1)
    assert parts(6, 32, 64) == (2, 1)  # the least divisor that is enough
    assert parts(64, 16, 128) == (8, 1)
    assert parts(64, 8, 256) == (1, 1)  # a half would have fewer tiles than channels
    assert parts(64, 4, 512) == (1, 4)  # the kernel's tiles are the larger ones
    assert parts(1, 32, 64) == parts(0, 32, 64) == (1, 1)


def test_a_training_step_takes_hardly_more_memory_than_with_native_convolutions():
    """Neither tiles nor transformed kernels nor the zeros of a loop lie in wait from the start of the program."""
    x = jax.ShapeDtypeStruct((32, 16, 16, 64), jnp.float32)
    kernels = [jax.ShapeDtypeStruct((3, 3, 64, 64), jnp.float32)] * 6

    def loss(kernels, x):
        for kernel in kernels:
            x = jax.nn.relu(ops.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC))
        return x.sum()

    memory = {}
    for name in ("native", "winograd"):
        with ops.force_lowering(name):
            compiled = jax.jit(jax.grad(loss)).lower(kernels, x).compile()
        memory[name] = compiled.memory_analysis().temp_size_in_bytes
    assert memory["winograd"] < 1.1 * memory["native"] + winograd._PART_BYTES
