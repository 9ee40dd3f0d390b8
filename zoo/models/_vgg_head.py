"""The two hidden layers of VGG-16 as convolutions, which older nets label pixels with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._segmenter import classifier


class VGGHead(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes): fc6, fc7 and a linear 1×1 convolution, with dropout.

    Args:
        in_channels: channels of the map.
        num_classes: size of the output.
        hidden_channels: channels of fc6 and fc7.
        kernel_size: taps of fc6.
        dilation: of fc6.
        dropout: rate after fc6 and fc7.
        norm: makes the normalisations; None for none.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        hidden_channels: int,
        kernel_size: int,
        dilation: int,
        dropout: float,
        norm: Norm | None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, norm=norm, act=act, rngs=rngs, **dtypes)
        self.fc6 = unit(in_channels, hidden_channels, kernel_size, dilation=dilation)
        self.fc7 = unit(hidden_channels, hidden_channels, 1)
        self.dropout = nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None)
        self.classify = classifier(hidden_channels, num_classes, rngs=rngs, **dtypes)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dropout(self.fc6(x))
        return self.classify(self.dropout(self.fc7(x)))
