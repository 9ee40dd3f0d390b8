"""Depthwise and depthwise-separable convolutions."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.initializers import he_normal


class DepthwiseConv(Conv):
    """Convolves every channel by itself: (N, H, W, channels) -> (N, H', W', channels * depth_multiplier).

    Args:
        channels: channels of the input.
        kernel_size: taps, one number or (vertical, horizontal).
        stride: step of the kernel.
        dilation: distance between neighbouring taps.
        depth_multiplier: how many outputs each channel gets; those of one channel are neighbours.
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
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        depth_multiplier: int = 1,
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
        if depth_multiplier < 1:
            raise ValueError(f"depth_multiplier={depth_multiplier} must be at least 1")
        super().__init__(
            channels,
            channels * depth_multiplier,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=channels,
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


class DepthwiseSeparableConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): space by a depthwise, channels by a 1×1 convolution.

    Each of the two is followed by norm and activation, as in MobileNet (1704.04861, figure 3). It takes
    1/out_channels + 1/kernel_size² of the multiply-accumulates of the dense convolution (section 3.1).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the depthwise convolution.
        stride: step of the depthwise convolution.
        dilation: distance between neighbouring taps of the depthwise convolution.
        norm: makes both normalisations; None leaves them out.
        act: both activations; None leaves them out.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: as `Conv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        norm: Norm | None = BatchNorm,
        act: Activation | None = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.depthwise = unit(
            in_channels, in_channels, kernel_size, stride=stride, dilation=dilation, groups=in_channels
        )
        self.pointwise = unit(in_channels, out_channels, 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.pointwise(self.depthwise(x))
