"""ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164): channel split, depthwise filters, channel shuffle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, ShuffleUnitV2
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._pooling import max_pool
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.preprocessing import Preprocessing
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1807.11164"
_STEM_CHANNELS = 24
_DEPTHS = (4, 8, 4)
_CHANNELS = {  # table 5 of the paper: width -> channels of the three stages and of the last convolution
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}

_UNIT_NAMES = {
    "shortcut.layers.0": "branch1.[0,1]",
    "shortcut.layers.1": "branch1.[2,3]",
    "branch.layers.0": "branch2.[0,1]",
    "branch.layers.1": "branch2.[3,4]",
    "branch.layers.2": "branch2.[5,6]",
}


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int = 2


class ShuffleNetV2(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: 0.5, 1.0, 1.5 or 2.0, as in the paper.
        small_images: the 32×32 form, without the strides of the stem: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
        dropout: rate before the head.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or if the paper has no such width.
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
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if width not in _CHANNELS:
            raise ValueError(f"width={width} is not one of the paper's: {', '.join(map(str, _CHANNELS))}")
        *stage_channels, num_features = _CHANNELS[width]
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        plan = StridePlan(output_stride)
        if small_images:
            self.stem = unit(in_channels, _STEM_CHANNELS, 3)
        else:
            stem = unit(in_channels, _STEM_CHANNELS, 3, stride=plan.next(2)[0])
            self.stem = nnx.Sequential(stem, partial(max_pool, stride=plan.next(2)[0]))

        def block(_: _Row, in_channels: int, out_channels: int, **options: Any) -> ShuffleUnitV2:
            return ShuffleUnitV2(in_channels, out_channels, **options, **shared)

        rows = [_Row(channels, depth) for channels, depth in zip(stage_channels, _DEPTHS, strict=True)]
        stages, strides, channels = build_stages([[row] for row in rows], _STEM_CHANNELS, plan, block)
        self._init_stages(stages, strides)
        self.last = unit(channels, num_features, 1)
        self._init_head(num_features, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem": "conv1.[0,1]", "stem.layers.0": "conv1.[0,1]", "last": "conv5.[0,1]", "head": "fc"}
        theirs = numbered("stage{}.{}", map(len, self.stages), first=2)
        for (path, _), name in zip(blocks(self.stages), theirs, strict=True):
            layers |= under(path, name, _UNIT_NAMES)
        return {"torchvision": NameMap(layers)}


# Parameters as torchvision counts them, the paper's MACs and accuracies (table 8). Its MACs are up to 1.3 % above the
# convolutions and linear layers of its own table 5; it does not say what else is counted.
for _width, _parameters, _macs, _top1, _file, _resize_size in (
    (0.5, 1_366_792, 41e6, 61.1, "shufflenetv2_x0.5-f707e7126e.pth", 256),
    (1.0, 2_278_604, 146e6, 69.4, "shufflenetv2_x1-5666bf0f80.pth", 256),
    (1.5, 3_503_624, 299e6, 72.6, "shufflenetv2_x1_5-3c479a10.pth", 232),
    (2.0, 7_393_996, 591e6, 75.0, "shufflenetv2_x2_0-8be3c8ee.pth", 232),
):
    _of_width = f"x{_width}".replace(".", "_")
    register(
        f"shufflenet_v2_{_of_width}",
        ShuffleNetV2,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1, macs_tolerance=0.015),
        weights=[
            TorchvisionWeights(
                f"ShuffleNet_V2_{_of_width.upper()}_Weights.IMAGENET1K_V1", _file, Preprocessing(224, _resize_size)
            )
        ],
        width=_width,
    )
