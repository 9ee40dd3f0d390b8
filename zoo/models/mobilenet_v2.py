"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): inverted residuals with linear bottlenecks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, InvertedResidual
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, present, timm_inverted_residuals
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    expansion_ratio: int
    channels: int
    blocks: int
    stride: int


_ROWS = (  # table 2 of the paper
    _Row(1, 16, 1, 1),
    _Row(6, 24, 2, 2),
    _Row(6, 32, 3, 2),
    _Row(6, 64, 4, 2),
    _Row(6, 96, 3, 1),
    _Row(6, 160, 3, 2),
    _Row(6, 320, 1, 1),
)
_LAST_CHANNELS = 1280
_PAPER = "arXiv:1801.04381"


class MobileNetV2(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers but, below 1, of the last.
        small_images: the 32×32 form, without the first two strides: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
        dropout: rate before the head.
        drop_path: rate at the last block; it grows linearly from 0 at the first.
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
        width: float = 1.0,
        *,
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu6,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        plan = StridePlan(output_stride)
        first_stride, _ = plan.next(1 if small_images else 2)
        channels = scale_channels(32, width)
        self.stem = unit(in_channels, channels, 3, stride=first_stride)

        def block(row: _Row, in_channels: int, out_channels: int, **options: Any) -> InvertedResidual:
            return InvertedResidual(in_channels, out_channels, expansion_ratio=row.expansion_ratio, **options, **shared)

        stages, strides, channels = build_stages(
            split_where_striding(_ROWS),
            channels,
            plan,
            block,
            scale=partial(scale_channels, width=width),
            drop_path=drop_path,
            small_images=small_images,
        )
        self._init_stages(stages, strides)

        num_features = scale_channels(_LAST_CHANNELS, max(1.0, width))
        self.last = unit(channels, num_features, 1)
        self._init_head(num_features, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        torchvision = {"stem": "features.0.[0,1]", "last": "features.18.[0,1]", "head": "classifier.1"}
        for number, (path, block) in enumerate(blocks(self.stages), start=1):
            *numbered, project = present(block, ("expand", "depthwise", "project"))
            torchvision[f"{path}.{project}"] = f"features.{number}.conv.[{len(numbered)},{len(numbered) + 1}]"
            for position, layer in enumerate(numbered):
                torchvision[f"{path}.{layer}"] = f"features.{number}.conv.{position}.[0,1]"
        timm = timm_inverted_residuals(self.stages, [row.blocks for row in _ROWS]) | {"last": "[conv_head,bn2]"}
        return {"torchvision": NameMap(torchvision), "timm": NameMap(timm)}


# The paper's figures for 1.0 (parameters as PyTorch counts them), TF-slim's for the other widths.
register(
    "mobilenet_v2",
    MobileNetV2,
    ModelInfo(_PAPER, 224, parameters=3_504_872, macs=300e6, top1=72.0),
    weights=(
        TorchvisionWeights("MobileNet_V2_Weights.IMAGENET1K_V1", "mobilenet_v2-b0353104.pth"),
        TorchvisionWeights("MobileNet_V2_Weights.IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", Preprocessing(224, 232)),
        TimmWeights("mobilenetv2_100"),
    ),
)
for _name, _width, _parameters, _macs, _top1, _timm in (
    ("mobilenet_v2_x0_35", 0.35, 1.66e6, 59e6, 60.3, "mobilenetv2_035"),
    ("mobilenet_v2_x0_5", 0.5, 1.95e6, 97e6, 65.4, "mobilenetv2_050"),
    ("mobilenet_v2_x0_75", 0.75, 2.61e6, 209e6, 69.8, "mobilenetv2_075"),
    ("mobilenet_v2_x1_4", 1.4, 6.06e6, 582e6, 75.0, "mobilenetv2_140"),
):
    register(
        _name,
        MobileNetV2,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1, counts_norms=False),
        weights=[TimmWeights(_timm)],
        width=_width,
    )
