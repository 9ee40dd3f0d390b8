"""DetNet (Li et al. 2018, arXiv 1804.06215): a ResNet for detection, which goes on at stride 16 with dilation."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._pooling import max_pool
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int
    dilation: int
    projects: bool = False  # whether the shortcut is a convolution even where the shape stays


_ROWS = (  # figure 2 D: ResNet-50 as far as stride 16, then twice a block B and two blocks A
    _Row(256, 3, 1, 1),
    _Row(512, 4, 2, 1),
    _Row(1024, 6, 2, 1),
    _Row(1024, 3, 1, 2),
    _Row(1024, 3, 1, 2),
)
_PAPER = "arXiv:1804.06215"


class DetNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32; DetNet-59.

    Each stage begins with a bottleneck whose shortcut is a convolution, also where the shape stays: that makes the
    last two, which are as large and as wide as the one before them, stages of their own (section 3.2). The paper
    counts the stem as stage 1; `stage1` to `stage5` here are its stages 2 to 6.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        small_images: the 32×32 form, with a 3×3 stem of stride 1 before the pooling: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 16 (8 in the 32×32 form).
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
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        channels = 64
        kernel_size, first_stride = (3, 1) if small_images else (7, 2)
        stem = ConvNormAct(in_channels, channels, kernel_size, stride=plan.next(first_stride)[0], **shared)
        self.stem = nnx.Sequential(stem, partial(max_pool, stride=plan.next(2)[0]))

        def block(row: _Row, in_channels: int, out_channels: int, *, stride: int, dilation: int) -> Bottleneck:
            return Bottleneck(
                in_channels,
                out_channels,
                out_channels // 4,
                stride=stride,
                dilation=dilation * row.dilation,
                project_shortcut=row.projects,
                **shared,
            )

        stages, strides, channels = build_stages(
            [(row._replace(blocks=1, projects=True), row._replace(blocks=row.blocks - 1, stride=1)) for row in _ROWS],
            channels,
            plan,
            block,
        )
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)


# Parameters are counted: none are published. The paper's 4.8 G MACs are those of strides on 1×1 convolutions, as in the
# first ResNet-50, for which it gives 3.8 G; here they are on 3×3 convolutions, as torchvision has them.
register(
    "detnet_59",
    DetNet,
    ModelInfo(_PAPER, 224, parameters=18_372_648, macs=4.8e9, top1=76.5, macs_tolerance=0.05),
)
