"""Inception v3 (Szegedy et al. 2015, arXiv 1512.00567): Inception modules of factorised convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.blocks.factorized_inception import (
    AsymmetricGridReduction,
    AsymmetricInception,
    ExpandedInception,
    FactorizedInception,
    GridReduction,
)
from zoo.models.auxiliary import AuxiliaryClassifier
from zoo.models.pooling import global_average_pool, max_pool
from zoo.registry import ModelInfo, register

_batch_norm = partial(BatchNorm, epsilon=1e-3)  # as the public weights were trained


class InceptionV3(AuxiliaryClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The stem and all layers that stride do not pad: at 299×299 the maps are a few pixels smaller than the strides 4,
    8, 16 and 32 say, and the last is 8×8. The 32×32 form pads them.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        auxiliary_heads: whether there is a classifier behind the 17×17 maps, to train with; see
            `logits_with_auxiliary`.
        small_images: the 32×32 form, without the first stride and the first pooling: the last map is 4×4 at 32×32.
        dropout: rate before the head.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        auxiliary_heads: bool = False,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm = _batch_norm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        padding = 1 if small_images else 0
        pool = partial(max_pool, padding=padding)
        stem = [
            unit(in_channels, 32, 3, stride=1 if small_images else 2, padding=padding),
            unit(32, 32, 3, padding=padding),
            unit(32, 64, 3),
        ]
        self.stem = nnx.Sequential(*stem) if small_images else nnx.Sequential(*stem, pool)

        def factorized(channels: int, pool_channels: int) -> FactorizedInception:
            return FactorizedInception(channels, 64, (48, 64), (64, 96), pool_channels, **shared)

        def expanded(channels: int) -> ExpandedInception:
            return ExpandedInception(channels, 320, (384, 384), (448, 384), 192, **shared)

        stages: list[list[nnx.Module]] = [
            [unit(64, 80, 1), unit(80, 192, 3, padding=padding)],
            [nnx.Sequential(pool, factorized(192, 32)), factorized(256, 64), factorized(288, 64)],
            [
                GridReduction(288, 384, (64, 96), padding=padding, **shared),
                *(AsymmetricInception(768, 192, hidden, **shared) for hidden in (128, 160, 160, 192)),
            ],
            [
                AsymmetricGridReduction(768, (192, 320), 192, padding=padding, **shared),
                expanded(1280),
                expanded(2048),
            ],
        ]
        self._init_stages(stages, (1, 2, 4, 8) if small_images else (4, 8, 16, 32))
        heads = [AuxiliaryHead(768, small_images=small_images, **shared)] if auxiliary_heads else []
        self.auxiliary_heads = nnx.List(heads)
        self._init_head(2048, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def inner_maps(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        *_, middle, last = self.features(x).values()
        return last, [middle]


class AuxiliaryHead(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32: classifies the 17×17 map (section 4).

    A 17×17 map is pooled to 5×5, reduced by a 1×1 convolution and seen as a whole by a 5×5 one, without padding; what
    a larger one leaves is averaged. The 8×8 map of the 32×32 form is not pooled, and the 5×5 convolution pads. A
    linear layer follows, which `reset` makes.

    Args:
        in_channels: channels of the map.
        small_images: whether it is that of the 32×32 form.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        small_images: bool,
        norm: Norm,
        act: Activation,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        unit = partial(ConvNormAct, norm=norm, act=act, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.reduce = unit(in_channels, 128, 1)
        self.conv = unit(128, 768, 5, padding=2 if small_images else 0)
        self.pools = not small_images
        self._linear = partial(
            nnx.Linear, kernel_init=nnx.initializers.normal(0.001), dtype=dtype, param_dtype=param_dtype
        )

    def reset(self, num_classes: int, *, rngs: nnx.Rngs) -> None:
        """Makes a new linear layer for `num_classes` classes."""
        self.classify = self._linear(768, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.pools:
            x = nnx.avg_pool(x, (5, 5), (3, 3))
        return self.classify(global_average_pool(self.conv(self.reduce(x)))).astype(jnp.float32)


register(
    "inception_v3", InceptionV3, ModelInfo("arXiv:1512.00567", 299, parameters=23_834_568, macs=5.713e9, top1=77.3)
)
