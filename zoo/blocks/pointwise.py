"""The pointwise convolution, dense or in groups."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer

from zoo.blocks.conv import Conv


class PointwiseConv(Conv):
    """Mixes the channels of every pixel by itself: (N, H, W, in_channels) -> (N, H', W', out_channels).

    A 1×1 convolution (1312.4400, section 3.1). With groups it is ShuffleNet's pointwise group convolution
    (1707.01083, section 3.1), which a channel shuffle should follow: without one the groups never meet.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: step between the pixels that are kept.
        groups: channels are split into so many groups, each mixed on its own.
        use_bias: whether a bias is added.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        kernel_init: initialises the kernel; He's normal by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or `groups` does not divide both channel counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        groups: int = 1,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            1,
            stride=stride,
            groups=groups,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=kernel_init,
            rngs=rngs,
        )
