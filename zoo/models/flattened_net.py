"""A small CIFAR net of flattened convolutions, after Jin et al. 2014 (arXiv 1412.5474)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.blocks.flattened import FlattenedConv
from zoo.models._classifier import ImageClassifier
from zoo.registry import ModelInfo, register

_CHANNELS = (96, 128, 256)


class FlattenedNet(ImageClassifier):
    """(N, 32, 32, in_channels) -> logits (N, num_classes), float32.

    Three layers with 2×2 max pooling between them; each is two flattened convolutions without anything between
    them, as the paper found best, then norm and activation. The paper has no normalisation, and hidden linear layers
    where this net averages the last map.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        dropout: rate before the head.
        norm: makes the normalisations; None leaves them out and gives each one-dimensional filter a bias instead.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        dropout: float = 0.5,
        norm: Norm | None = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}

        def layer(channels: int, out_channels: int) -> nnx.Sequential:
            convs = (
                FlattenedConv(channels, out_channels, 5, use_bias=norm is None, **shared),
                FlattenedConv(out_channels, out_channels, 5, use_bias=norm is None, **shared),
            )
            norms = () if norm is None else (norm(out_channels, **shared),)
            return nnx.Sequential(*convs, *norms, act)

        halve = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        first, second, third = _CHANNELS
        self.stem = layer(in_channels, first)
        stages = [
            [nnx.Sequential(halve, layer(first, second))],
            [nnx.Sequential(halve, layer(second, third))],
        ]
        self._init_stages(stages, (2, 4))
        self._init_head(third, num_classes, dropout=dropout, **shared)


register("flattened_net", FlattenedNet, ModelInfo("arXiv:1412.5474", 32, parameters=149_610))  # counted
