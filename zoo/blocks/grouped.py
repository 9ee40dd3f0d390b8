"""Grouped convolutions, plain and with a channel shuffle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.conv import Conv
from zoo.blocks.initializers import he_normal
from zoo.ops import channel_shuffle


class GroupedConv(Conv):
    """Convolves every group of channels by itself: (N, H, W, in_channels) -> (N, H', W', out_channels).

    It takes 1/groups of the parameters and multiply-accumulates of the dense convolution: `kernel` has shape
    (kernel height, kernel width, in_channels // groups, out_channels). AlexNet split its channels to fit two GPUs
    (NIPS 2012, section 3.2); ResNeXt's cardinality is the same (1611.05431, section 3.3).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; each group gives its share, in the order of the groups.
        kernel_size: taps, one number or (vertical, horizontal).
        stride: step of the kernel.
        dilation: distance between neighbouring taps.
        groups: how many; 1 for a dense convolution, `in_channels` for a depthwise one.
        padding: pixels on every side; None for `dilation * (kernel_size - 1) // 2`.
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
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int,
        padding: int | None = None,
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
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            padding=padding,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            preferred_element_type=preferred_element_type,
            kernel_init=kernel_init,
            bias_init=bias_init,
            rngs=rngs,
        )


class ShuffledGroupedConv(GroupedConv):
    """A `GroupedConv` whose outputs are interleaved, so that the next groups see all of these (1707.01083, figure 1).

    (N, H, W, in_channels) -> (N, H', W', out_channels). Arguments and parameters are those of `GroupedConv`; `kernel`
    and `bias` are in the order before the shuffle.
    """

    def __call__(self, inputs: jax.Array, *args: Any, **options: Any) -> jax.Array:
        return channel_shuffle(super().__call__(inputs, *args, **options), self.feature_group_count)
