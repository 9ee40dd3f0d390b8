"""The shuffle units of ShuffleNetV1 and ShuffleNetV2."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.ops import channel_shuffle


class ShuffleUnitV1(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): ShuffleNetV1's unit (1707.01083, figure 2 b and c).

    A grouped 1×1 convolution narrows the input to a quarter of the output's channels, which are shuffled; a linear
    depthwise and a linear grouped 1×1 convolution follow. Where the shape stays the same, the result is added to the
    input; otherwise it follows the input, averaged over 3×3 pixels, along the channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, a multiple of 4.
        stride: step of the depthwise convolution and of the average.
        dilation: of the depthwise convolution and of the average.
        groups: of the 1×1 convolutions.
        first_groups: of the first 1×1 convolution; None for `groups`. The paper has 1 where the input has few channels.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or the channels cannot be split into such groups.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int,
        first_groups: int | None = None,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if out_channels % 4:
            raise ValueError(f"out_channels={out_channels} must be a multiple of 4: the hidden layers have a quarter")
        self.has_shortcut = stride == 1 and in_channels == out_channels
        if not self.has_shortcut and in_channels >= out_channels:
            raise ValueError(f"out_channels={out_channels} must be above in_channels={in_channels}, which are kept")
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        hidden = out_channels // 4
        added = out_channels if self.has_shortcut else out_channels - in_channels
        self.reduce = unit(in_channels, hidden, 1, groups=groups if first_groups is None else first_groups, act=act)
        self.depthwise = unit(hidden, hidden, 3, stride=stride, dilation=dilation, groups=hidden, act=None)
        self.expand = unit(hidden, added, 1, groups=groups, act=None)
        self.groups = groups
        self.stride = stride
        self.dilation = dilation
        self.act = act

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.expand(self.depthwise(channel_shuffle(self.reduce(x), self.groups)))
        if self.has_shortcut:
            return self.act(x + y)
        return self.act(jnp.concatenate([_average_pool(x, self.stride, self.dilation).astype(y.dtype), y], axis=-1))


def _average_pool(x: jax.Array, stride: int, dilation: int) -> jax.Array:
    """(N, H, W, C) -> (N, H', W', C), a ninth of the sum of 3×3 pixels; those beyond the border are 0."""
    padding = ((0, 0), (dilation, dilation), (dilation, dilation), (0, 0))
    window, strides, dilations = (1, 3, 3, 1), (1, stride, stride, 1), (1, dilation, dilation, 1)
    zero = np.zeros((), x.dtype)
    return jax.lax.reduce_window(x, zero, jax.lax.add, window, strides, padding, window_dilation=dilations) / 9


class ShuffleUnitV2(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): ShuffleNetV2's unit (1807.11164, figure 3 c and d).

    At stride 1 half of the channels pass as they are and the others go through 1×1, depthwise and 1×1
    convolutions; where the shape changes, all channels go through both branches. The halves are then shuffled.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, even.
        stride: step of the depthwise convolutions.
        dilation: of the depthwise convolutions.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or `out_channels` is odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if out_channels % 2:
            raise ValueError(f"out_channels={out_channels} must be even: each branch gives half of them")
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        half = out_channels // 2
        splits = stride == 1 and in_channels == out_channels
        branch_channels = half if splits else in_channels

        def depthwise(channels: int) -> ConvNormAct:
            return unit(channels, channels, 3, stride=stride, dilation=dilation, groups=channels, act=None)

        self.shortcut = nnx.data(
            None if splits else nnx.Sequential(depthwise(in_channels), unit(in_channels, half, 1, act=act))
        )
        self.branch = nnx.Sequential(
            unit(branch_channels, half, 1, act=act), depthwise(half), unit(half, half, 1, act=act)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        passed, filtered = jnp.split(x, 2, axis=-1) if self.shortcut is None else (self.shortcut(x), x)
        return channel_shuffle(jnp.concatenate([passed, self.branch(filtered)], axis=-1), 2)
