"""`ConvNormAct`: the convolution, normalisation, activation triple that the architectures are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv import Conv
from zoo.blocks.initializers import he_normal

Activation = Callable[[jax.Array], jax.Array]
Norm = Callable[..., Any]
"""Makes a normalisation layer: `norm(channels, dtype=..., param_dtype=..., rngs=...)`, as `BatchNorm` does."""


class ConvNormAct(nnx.Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels): convolution, then norm, then activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number or (vertical, horizontal).
        stride: step of the kernel.
        dilation: distance between neighbouring taps.
        groups: number of groups that the channels are split into.
        padding: pixels on every side; None for `dilation * (kernel_size - 1) // 2`.
        norm: makes the normalisation; None leaves it out and gives the convolution a bias instead.
        act: activation; None for a linear layer.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of the convolution, as `jax.lax.conv_general_dilated` takes it.
        kernel_init: initialises the kernel; He's normal by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: as `Conv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int | None = None,
        norm: Norm | None = BatchNorm,
        act: Activation | None = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        kernel_init: Initializer = he_normal,
        rngs: nnx.Rngs,
    ) -> None:
        self.conv = Conv(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            padding=padding,
            use_bias=norm is None,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.norm = nnx.data(norm and norm(out_channels, dtype=dtype, param_dtype=param_dtype, rngs=rngs))
        self.act = act

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.act is None else self.act(x)
