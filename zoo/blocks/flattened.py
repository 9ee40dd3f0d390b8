"""The flattened convolution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer

from zoo.blocks.conv import Conv
from zoo.blocks.separable import DepthwiseConv


class FlattenedConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): three one-dimensional filters for every output.

    One over the channels, one vertical, one horizontal, linear between them (1412.5474, section 3.2): in_channels +
    2·kernel_size weights for every output where the dense convolution has in_channels·kernel_size². It equals the
    dense convolution whose kernel is, for every output, the outer product of the three.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the vertical and of the horizontal filters.
        use_bias: whether a bias is added after each of the three, as in the paper.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        kernel_init: initialises all kernels. By default LeCun's normal, whose variance 1 / fan-in lets a chain of
            linear filters keep the scale of its input.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 5,
        *,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {
            "use_bias": use_bias,
            "dtype": dtype,
            "param_dtype": param_dtype,
            "kernel_init": kernel_init or nnx.initializers.lecun_normal(),
            "rngs": rngs,
        }
        self.lateral = Conv(in_channels, out_channels, 1, **shared)
        self.vertical = DepthwiseConv(out_channels, (kernel_size, 1), **shared)
        self.horizontal = DepthwiseConv(out_channels, (1, kernel_size), **shared)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.horizontal(self.vertical(self.lateral(x)))
