"""Squeeze-and-excitation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import Activation


class SqueezeExcite(nnx.Module):
    """Scales each channel by a gate computed from the mean of all: (N, H, W, channels) to the same shape.

    Global average (squeeze), 1×1 convolution, activation, 1×1 convolution, gate (excitation); 1709.01507,
    section 3. The average is taken in float32.

    Args:
        channels: channels of the input.
        squeeze_channels: channels of the bottleneck.
        gate: maps to the factor; the sigmoid of the paper, or MobileNetV3's `jax.nn.hard_sigmoid`.
        act: activation of the bottleneck.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number of channels is below 1.
    """

    def __init__(
        self,
        channels: int,
        squeeze_channels: int,
        *,
        gate: Activation = jax.nn.sigmoid,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if squeeze_channels < 1:
            raise ValueError(f"squeeze_channels={squeeze_channels} must be at least 1")
        self.reduce = Conv(channels, squeeze_channels, 1, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.expand = Conv(squeeze_channels, channels, 1, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.act = act
        self.gate = gate

    def __call__(self, x: jax.Array) -> jax.Array:
        means = x.mean((1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
        return x * self.gate(self.expand(self.act(self.reduce(means))))
