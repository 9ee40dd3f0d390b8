from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from zoo.blocks import Conv


@pytest.mark.parametrize(
    ("options", "padding"),
    [
        ({}, (1, 1)),
        ({"kernel_size": 5, "stride": 2}, (2, 2)),
        ({"dilation": 3}, (3, 3)),
        ({"kernel_size": (1, 3)}, (0, 1)),
        ({"groups": 2, "padding": 0}, (0, 0)),
    ],
)
def test_agrees_with_lax_at_symmetric_padding(options, padding):
    conv = Conv(4, 6, rngs=nnx.Rngs(0), **options)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 9, 9, 4)), jnp.float32)
    expected = lax.conv_general_dilated(
        x,
        conv.kernel[...],
        (options.get("stride", 1),) * 2,
        [(side, side) for side in padding],
        rhs_dilation=(options.get("dilation", 1),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=options.get("groups", 1),
    )
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_grouping_divides_the_parameters():
    conv = Conv(8, 16, 3, groups=4, rngs=nnx.Rngs(0))
    assert conv.kernel.shape == (3, 3, 2, 16)
    assert conv.bias.shape == (16,)


def test_computes_in_dtype_and_stores_in_param_dtype():
    conv = Conv(4, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert conv(jnp.ones((1, 3, 3, 4))).dtype == jnp.bfloat16
    assert conv.kernel.dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((64, 66), {"groups": 3}, "groups=3 does not divide in_channels=64"),
        ((66, 64), {"groups": 3}, "groups=3 does not divide out_channels=64"),
        ((0, 8), {}, "in_channels=0 must be at least 1"),
        ((8, 8, 0), {}, "kernel_size=0 must be at least 1"),
        ((8, 8, (3, -1)), {}, "kernel_size=-1 must be at least 1"),
        ((8, 8), {"stride": 0}, "stride=0 must be at least 1"),
        ((8, 8), {"dilation": 0}, "dilation=0 must be at least 1"),
        ((8, 8), {"groups": 0}, "groups=0 must be at least 1"),
        ((8, 8), {"padding": -1}, "padding=-1 must be at least 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Conv(*arguments, rngs=nnx.Rngs(0), **options)
