"""MobileNetV1 (Howard et al. 2017, arXiv 1704.04861): a chain of depthwise-separable convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, DepthwiseSeparableConv
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.published import TimmWeights
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int


_STEM_CHANNELS = 32
_ROWS = (  # table 1 of the paper, whose last layer has stride 1: 7×7 pixels go in and out
    _Row(64, 1, 1),
    _Row(128, 2, 2),
    _Row(256, 2, 2),
    _Row(512, 6, 2),
    _Row(1024, 2, 2),
)
_PAPER = "arXiv:1704.04861"


class MobileNetV1(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers (section 3.3).
        small_images: the 32×32 form, without the first two strides: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
        dropout: rate before the head.
        norm: makes the normalisations.
        act: activation; by default the one of the authors' public weights.
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
        width: float = 1.0,
        *,
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        first_stride, _ = plan.next(1 if small_images else 2)
        channels = scale_channels(_STEM_CHANNELS, width)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=first_stride, **shared)

        def block(_: _Row, in_channels: int, out_channels: int, **options: Any) -> DepthwiseSeparableConv:
            return DepthwiseSeparableConv(in_channels, out_channels, **options, **shared)

        stages, strides, channels = build_stages(
            split_where_striding(_ROWS),
            channels,
            plan,
            block,
            scale=partial(scale_channels, width=width),
            small_images=small_images,
        )
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem": "[conv_stem,bn1]", "head": "classifier"}
        theirs = numbered("blocks.{}.{}", map(len, self.stages))
        for (path, _), name in zip(blocks(self.stages), theirs, strict=True):
            layers |= under(path, name, {"depthwise": "[conv_dw,bn1]", "pointwise": "[conv_pw,bn2]"})
        return {"timm": NameMap(layers)}


# Exact counts are imgclsmob's, MACs the paper's (table 6), accuracies those of the public weights (TF-slim). TF-slim
# gives 317 million MACs for 0.75, where the paper and this project count 325.
for _name, _width, _parameters, _macs, _top1, _weights in (
    ("mobilenet_v1", 1.0, 4_231_976, 569e6, 70.9, [TimmWeights("mobilenetv1_100")]),
    ("mobilenet_v1_x0_75", 0.75, 2_585_560, 325e6, 68.4, []),
    ("mobilenet_v1_x0_5", 0.5, 1_331_592, 149e6, 63.3, []),
    ("mobilenet_v1_x0_25", 0.25, 470_072, 41e6, 49.8, []),
):
    register(
        _name,
        MobileNetV1,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        weights=_weights,
        width=_width,
    )
