"""The inverted residual with linear bottleneck."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.drop_path import DropPath


class InvertedResidual(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): expand, filter depthwise, project (1801.04381, table 1).

    A 1×1 convolution widens the input by the expansion ratio, a depthwise one filters it, and a linear 1×1
    convolution narrows it again. Where the shape stays the same, the input is added. MnasNet (1807.11626) and
    MobileNetV3 (1905.02244, section 5.1) have squeeze-and-excitation after the depthwise convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the depthwise convolution.
        stride: step of the depthwise convolution.
        dilation: distance between neighbouring taps of the depthwise convolution.
        expansion_ratio: channels of the hidden layers over `in_channels`; 1 leaves the expansion out.
        hidden_channels: channels of the hidden layers, if they are not a multiple of `in_channels`.
        squeeze_excite: makes the squeeze-and-excitation of the hidden layer, `squeeze_excite(channels, dtype=...,
            param_dtype=..., rngs=...)`; None leaves it out.
        drop_path: probability of dropping the branch that is added to the input.
        norm: makes the normalisations; None leaves them out.
        act: activation of the hidden layers.
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
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        expansion_ratio: int = 6,
        hidden_channels: int | None = None,
        squeeze_excite: Callable[..., nnx.Module] | None = None,
        drop_path: float = 0.0,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if expansion_ratio < 1:
            raise ValueError(f"expansion_ratio={expansion_ratio} must be at least 1")
        hidden = in_channels * expansion_ratio if hidden_channels is None else hidden_channels
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.expand = nnx.data(None if hidden == in_channels else unit(in_channels, hidden, 1, act=act))
        self.depthwise = unit(hidden, hidden, kernel_size, stride=stride, dilation=dilation, groups=hidden, act=act)
        self.squeeze_excite = nnx.data(
            squeeze_excite and squeeze_excite(hidden, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        )
        self.project = unit(hidden, out_channels, 1, act=None)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop_path, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.depthwise(x if self.expand is None else self.expand(x))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y)
        return x + self.drop_path(y) if self.has_shortcut else y
