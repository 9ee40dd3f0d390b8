"""The pointwise convolution, dense or in groups."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.conv import Conv
from zoo.blocks.initializers import he_normal


class PointwiseConv(Conv):
    """Mixes the channels of every pixel by itself: (N, H, W, in_channels) -> (N, H', W', out_channels).

    A 1×1 convolution (1312.4400, section 3.1). With groups it is ShuffleNet's pointwise group convolution
    (1707.01083, section 3.1), which a channel shuffle should follow: without one the groups never meet.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: step between the pixels that are kept.
        groups: number of groups that the channels are split into, each mixed on its own.
        use_bias: whether a bias is added.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises the kernel; He's normal by default.
        bias_init: initialises the bias; zeros by default.
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
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = he_normal,
        bias_init: Initializer = nnx.initializers.zeros,
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
            precision=precision,
            preferred_element_type=preferred_element_type,
            kernel_init=kernel_init,
            bias_init=bias_init,
            rngs=rngs,
        )
