"""EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946): MnasNet's blocks under a larger budget."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, InvertedResidual, SqueezeExcite
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, timm_inverted_residuals, torchvision_inverted_residual
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
    kernel_size: int


_ROWS = (  # table 1 of the paper
    _Row(1, 16, 1, 1, 3),
    _Row(6, 24, 2, 2, 3),
    _Row(6, 40, 2, 2, 5),
    _Row(6, 80, 3, 2, 3),
    _Row(6, 112, 3, 1, 5),
    _Row(6, 192, 4, 2, 5),
    _Row(6, 320, 1, 1, 3),
)
_STEM_CHANNELS, _LAST_CHANNELS = 32, 1280
_SQUEEZE_RATIO = 0.25  # of the channels of the block's input


class EfficientNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers (section 3.3).
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
        drop_path: float = 0.2,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.silu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        first_stride, _ = plan.next(1 if small_images else 2)
        channels = scale_channels(_STEM_CHANNELS, width)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=first_stride, **shared)

        def block(row: _Row, in_channels: int, out_channels: int, **options: Any) -> InvertedResidual:
            squeeze_channels = round(_SQUEEZE_RATIO * in_channels)
            return InvertedResidual(
                in_channels,
                out_channels,
                row.kernel_size,
                expansion_ratio=row.expansion_ratio,
                squeeze_excite=partial(SqueezeExcite, squeeze_channels=squeeze_channels, act=act),
                **options,
                **shared,
            )

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
        num_features = scale_channels(_LAST_CHANNELS, width)
        self.last = ConvNormAct(channels, num_features, 1, **shared)
        self._init_head(num_features, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        depths = [row.blocks for row in _ROWS]
        torchvision = {"stem": "features.0.[0,1]", "last": "features.8.[0,1]", "head": "classifier.1"}
        theirs = numbered("features.{}.{}", depths, first=1)
        for (path, block), name in zip(blocks(self.stages), theirs, strict=True):
            torchvision |= torchvision_inverted_residual(path, name, block)
        timm = timm_inverted_residuals(self.stages, depths) | {"last": "[conv_head,bn2]"}
        return {"torchvision": NameMap(torchvision), "timm": NameMap(timm)}


# Parameters and MACs are torchvision's; the paper rounds them to 5.3 and 390 million. Its rate of stochastic depth is
# 0.2 at the last block.
register(
    "efficientnet_b0",
    EfficientNet,
    ModelInfo("arXiv:1905.11946", 224, parameters=5_288_548, macs=386e6, top1=77.1),
    weights=(
        TorchvisionWeights(
            "EfficientNet_B0_Weights.IMAGENET1K_V1",
            "efficientnet_b0_rwightman-7f5810bc.pth",
            Preprocessing(224, 256, interpolation="bicubic"),
        ),
        TimmWeights("efficientnet_b0"),
        TimmWeights("tf_efficientnet_b0", from_tensorflow=True),
    ),
)
