"""A CIFAR classifier built of dilated residual blocks, after DRN (Yu et al. 2017, arXiv 1705.09914)."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BasicBlock, BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.models._width import round_channels
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int
    dilation: int


_ROWS = (
    _Row(32, 2, 1, 1),
    _Row(64, 2, 2, 1),
    _Row(128, 2, 2, 1),
    _Row(128, 2, 1, 2),
    _Row(128, 2, 1, 4),
)


class DilatedResNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Its last two stages keep the resolution and dilate instead of striding, so that at 32×32 the last map still has
    8×8 pixels while every one of them sees the whole image.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers.
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
        num_classes: int = 10,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        dropout: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        channels = round_channels(_ROWS[0].channels, width)
        self.stem = ConvNormAct(in_channels, channels, 3, **shared)

        def block(row: _Row, in_channels: int, out_channels: int, *, stride: int, dilation: int) -> BasicBlock:
            return BasicBlock(in_channels, out_channels, stride=stride, dilation=dilation * row.dilation, **shared)

        stages, strides, channels = build_stages(
            [[row] for row in _ROWS], channels, StridePlan(None), block, scale=partial(round_channels, width=width)
        )
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)


register("dilated_resnet", DilatedResNet, ModelInfo("arXiv:1705.09914", 32, parameters=1_878_314))
