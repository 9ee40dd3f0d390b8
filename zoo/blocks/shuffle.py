"""The shuffle unit of ShuffleNetV2."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.ops import channel_shuffle


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
        stride: int = 1,
        *,
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
            return unit(channels, channels, 3, stride, dilation=dilation, groups=channels, act=None)

        self.shortcut = nnx.data(
            None if splits else nnx.Sequential(depthwise(in_channels), unit(in_channels, half, 1, act=act))
        )
        self.branch = nnx.Sequential(
            unit(branch_channels, half, 1, act=act), depthwise(half), unit(half, half, 1, act=act)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        passed, filtered = jnp.split(x, 2, axis=-1) if self.shortcut is None else (self.shortcut(x), x)
        return channel_shuffle(jnp.concatenate([passed, self.branch(filtered)], axis=-1), 2)
