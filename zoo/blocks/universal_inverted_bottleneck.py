"""MobileNetV4's blocks: the universal and the fused inverted bottleneck."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.drop_path import DropPath


class UniversalInvertedBottleneck(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): expand and project, filter depthwise where asked.

    The block of MobileNetV4 (2404.10518, its section on universal inverted bottlenecks). A 1×1 convolution widens the
    input and a linear 1×1 convolution narrows it again. A linear depthwise convolution may come before the first, an
    activated one between the two: both make the extra depthwise block, the first alone one like ConvNeXt's, the
    second alone the inverted bottleneck of MobileNetV2, none a feed-forward layer. Where the shape stays the same,
    the input is added.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        hidden_channels: channels between the 1×1 convolutions.
        stride: step of the middle depthwise convolution, or of the first one where there is no middle one.
        dilation: distance between neighbouring taps of both depthwise convolutions.
        start_kernel_size: taps of the depthwise convolution before the expansion; None leaves it out.
        middle_kernel_size: taps of the one after the expansion; None leaves it out.
        drop_path: probability of dropping the branch that is added to the input.
        norm: makes the normalisations; None leaves them out.
        act: activation of the hidden layers.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key, and the `dropout` key for `drop_path`.

    Raises:
        ValueError: if a number is out of range, or a block without depthwise convolution is to stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        start_kernel_size: int | None = None,
        middle_kernel_size: int | None = 3,
        drop_path: float = 0.0,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if stride > 1 and start_kernel_size is None and middle_kernel_size is None:
            raise ValueError(f"stride={stride} needs a depthwise convolution: give start_ or middle_kernel_size")
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

        def depthwise(
            channels: int, kernel_size: int | None, stride: int, act: Activation | None
        ) -> ConvNormAct | None:
            if kernel_size is None:
                return None
            return unit(channels, channels, kernel_size, stride=stride, dilation=dilation, groups=channels, act=act)

        start_stride = stride if middle_kernel_size is None else 1
        self.start = nnx.data(depthwise(in_channels, start_kernel_size, start_stride, None))
        self.expand = unit(in_channels, hidden_channels, 1, act=act)
        self.middle = nnx.data(depthwise(hidden_channels, middle_kernel_size, stride, act))
        self.project = unit(hidden_channels, out_channels, 1, act=None)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop_path, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.expand(x if self.start is None else self.start(x))
        y = self.project(y if self.middle is None else self.middle(y))
        return x + self.drop_path(y) if self.has_shortcut else y


class FusedInvertedBottleneck(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): a dense convolution that widens, a linear 1×1 that narrows.

    The expansion and the depthwise convolution of the inverted bottleneck in one; early layers with few channels run
    faster so (2003.02838). Where the shape stays the same, the input is added.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        hidden_channels: channels between the two convolutions.
        kernel_size: taps of the first.
        stride: step of the first.
        dilation: distance between neighbouring taps of the first.
        drop_path: probability of dropping the branch that is added to the input.
        norm: makes the normalisations; None leaves them out.
        act: activation of the hidden layer.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key, and the `dropout` key for `drop_path`.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        drop_path: float = 0.0,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.expand = unit(in_channels, hidden_channels, kernel_size, stride=stride, dilation=dilation, act=act)
        self.project = unit(hidden_channels, out_channels, 1, act=None)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop_path, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.project(self.expand(x))
        return x + self.drop_path(y) if self.has_shortcut else y
