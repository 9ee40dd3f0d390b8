"""The spatially separable convolution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.conv import Conv
from zoo.blocks.initializers import he_normal


class SpatiallySeparableConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): a column of taps, then a row of taps.

    A k×1 convolution followed by a 1×k one, linear between them (1512.00567, section 3.2). With as many outputs as
    inputs it has 2k weights for every pair of channels where the dense one has k²: 6 instead of 9 for a 3×3. It
    equals the dense convolution whose kernel is their product, which on a single channel has rank 1, as Sobel's.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, and between the two.
        kernel_size: taps of each of the two.
        dilation: distance between neighbouring taps.
        use_bias: whether a bias is added, after both.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises both kernels; He's normal by default.
        bias_init: initialises the bias; zeros by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        dilation: int = 1,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = he_normal,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        def conv(channels: int, size: tuple[int, int], has_bias: bool) -> Conv:
            return Conv(
                channels,
                out_channels,
                size,
                dilation=dilation,
                use_bias=has_bias,
                dtype=dtype,
                param_dtype=param_dtype,
                precision=precision,
                preferred_element_type=preferred_element_type,
                kernel_init=kernel_init,
                bias_init=bias_init,
                rngs=rngs,
            )

        self.vertical = conv(in_channels, (kernel_size, 1), False)
        self.horizontal = conv(out_channels, (1, kernel_size), use_bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.horizontal(self.vertical(x))
