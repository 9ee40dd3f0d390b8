"""The residual blocks of ResNet, ResNeXt, RegNet and dilated residual nets."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.drop_path import DropPath
from zoo.blocks.squeeze_excite import SqueezeExcite


class BasicBlock(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): two 3×3 convolutions and a shortcut (1512.03385, figure 5).

    The shortcut is a strided 1×1 convolution where the shape changes (option B), otherwise the input itself.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: step of the first convolution.
        dilation: of the first convolution.
        second_dilation: of the second; None for that of the first.
        drop_path: probability of dropping the branch that is added to the shortcut.
        norm: makes the normalisations.
        act: activation.
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
        *,
        stride: int = 1,
        dilation: int = 1,
        second_dilation: int | None = None,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.conv1 = unit(in_channels, out_channels, 3, stride=stride, dilation=dilation, act=act)
        self.conv2 = unit(out_channels, out_channels, 3, dilation=second_dilation or dilation, act=None)
        is_identity = stride == 1 and in_channels == out_channels
        self.shortcut = nnx.data(None if is_identity else unit(in_channels, out_channels, 1, stride=stride, act=None))
        self.drop_path = DropPath(drop_path, rngs=rngs)
        self.act = act

    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.act(shortcut + self.drop_path(self.conv2(self.conv1(x))))


class Bottleneck(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): 1×1 down, 3×3 (grouped), 1×1 up, and a shortcut.

    ResNet's bottleneck (1512.03385, figure 5) with the stride on its 3×3 convolution, as public weights have it;
    with groups ResNeXt's block in its form (c) (1611.05431, figure 3), and RegNetX's where the hidden channels are as
    many as the output's; with squeeze-and-excitation RegNetY's (2003.13678, section 5). The shortcut is a strided
    1×1 convolution where the shape changes, otherwise the input itself, unless a convolution is asked for, as in block
    B of DetNet (1804.06215, figure 2).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        hidden_channels: channels of the 3×3 convolution.
        stride: step of the 3×3 convolution.
        dilation: of the 3×3 convolution.
        groups: of the 3×3 convolution; ResNeXt's cardinality.
        squeeze_channels: of the squeeze-and-excitation after the 3×3 convolution; None leaves it out.
        project_shortcut: whether the shortcut is a convolution even where the shape stays the same.
        drop_path: probability of dropping the branch that is added to the shortcut.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key, and the `dropout` key for `drop_path`.

    Raises:
        ValueError: if a number is out of range, or `groups` does not divide `hidden_channels`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        squeeze_channels: int | None = None,
        project_shortcut: bool = False,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.reduce = unit(in_channels, hidden_channels, 1, act=act)
        self.filter = unit(
            hidden_channels, hidden_channels, 3, stride=stride, dilation=dilation, groups=groups, act=act
        )
        self.squeeze_excite = nnx.data(
            None
            if squeeze_channels is None
            else SqueezeExcite(hidden_channels, squeeze_channels, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        )
        self.expand = unit(hidden_channels, out_channels, 1, act=None)
        is_identity = stride == 1 and in_channels == out_channels and not project_shortcut
        self.shortcut = nnx.data(None if is_identity else unit(in_channels, out_channels, 1, stride=stride, act=None))
        self.drop_path = DropPath(drop_path, rngs=rngs)
        self.act = act

    def residual(self, x: jax.Array) -> jax.Array:
        """What is added to the shortcut, shape (N, H', W', out_channels)."""
        y = self.filter(self.reduce(x))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        return self.expand(y)

    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.act(shortcut + self.drop_path(self.residual(x)))
