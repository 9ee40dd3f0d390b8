"""The two hidden layers that AlexNet and VGG have before the head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
from flax import nnx
from flax.typing import Dtype

from zoo.blocks.conv_norm_act import Activation
from zoo.models._pooling import adaptive_average_pool

HIDDEN_CHANNELS = 4096


class HiddenLayers(nnx.Module):
    """The two hidden layers before the head: (N, H, W, channels) -> (N, 4096).

    The map is averaged to `map_size` × `map_size` and flattened row by row, channels last: a kernel from PyTorch,
    which flattens channels first, must be permuted. Dropout comes between the two layers, and the model has it
    again before its head, as in the paper (section 4.2); torchvision's AlexNet has it before both layers instead.

    Args:
        channels: of the map.
        map_size: height and width that are flattened.
        act: activation.
        dropout: rate between the layers.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.
    """

    def __init__(
        self,
        channels: int,
        map_size: int,
        *,
        act: Activation,
        dropout: float,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        linear: Callable[..., nnx.Linear] = partial(
            nnx.Linear, kernel_init=nnx.initializers.normal(0.01), dtype=dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.fc6 = linear(channels * map_size**2, HIDDEN_CHANNELS)
        self.fc7 = linear(HIDDEN_CHANNELS, HIDDEN_CHANNELS)
        self.dropout = nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None)
        self.map_size = map_size
        self.act = act

    def __call__(self, x: jax.Array) -> jax.Array:
        x = adaptive_average_pool(x, self.map_size)
        x = self.act(self.fc6(x.reshape(x.shape[0], -1)))
        return self.act(self.fc7(self.dropout(x)))
