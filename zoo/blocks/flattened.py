"""The flattened convolution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.conv import Conv
from zoo.blocks.separable import DepthwiseConv

_LECUN_NORMAL = nnx.initializers.lecun_normal()


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
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises all kernels. By default LeCun's normal, whose variance 1 / fan-in lets a chain of
            linear filters keep the scale of its input.
        bias_init: initialises the biases; zeros by default.
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
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = _LECUN_NORMAL,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {
            "use_bias": use_bias,
            "dtype": dtype,
            "param_dtype": param_dtype,
            "precision": precision,
            "preferred_element_type": preferred_element_type,
            "kernel_init": kernel_init,
            "bias_init": bias_init,
            "rngs": rngs,
        }
        self.lateral = Conv(in_channels, out_channels, 1, **shared)
        self.vertical = DepthwiseConv(out_channels, (kernel_size, 1), **shared)
        self.horizontal = DepthwiseConv(out_channels, (1, kernel_size), **shared)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.horizontal(self.vertical(self.lateral(x)))
