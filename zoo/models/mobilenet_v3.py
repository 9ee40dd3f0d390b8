"""MobileNetV3 (Howard et al. 2019, arXiv 1905.02244): searched inverted residuals with squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, InvertedResidual, SqueezeExcite
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, timm_inverted_residuals, torchvision_inverted_residual
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.ops import symmetric_padding
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    kernel_size: int
    expansion_ratio: float
    channels: int
    squeezes: bool
    is_early: bool  # with ReLU, which is cheaper than hard-swish and no worse there
    stride: int
    blocks: int = 1


_LARGE = (  # table 1 of the paper, its expansion sizes over the input of each block
    _Row(3, 1, 16, False, True, 1),
    _Row(3, 4, 24, False, True, 2),
    _Row(3, 3, 24, False, True, 1),
    _Row(5, 3, 40, True, True, 2),
    _Row(5, 3, 40, True, True, 1, 2),
    _Row(3, 6, 80, False, False, 2),
    _Row(3, 2.5, 80, False, False, 1),
    _Row(3, 2.3, 80, False, False, 1, 2),
    _Row(3, 6, 112, True, False, 1),
    _Row(3, 6, 112, True, False, 1),
    _Row(5, 6, 160, True, False, 2),
    _Row(5, 6, 160, True, False, 1, 2),
)
_SMALL = (  # table 2 of the paper
    _Row(3, 1, 16, True, True, 2),
    _Row(3, 4.5, 24, False, True, 2),
    _Row(3, 88 / 24, 24, False, True, 1),
    _Row(5, 4, 40, True, False, 2),
    _Row(5, 6, 40, True, False, 1, 2),
    _Row(5, 3, 48, True, False, 1),
    _Row(5, 3, 48, True, False, 1),
    _Row(5, 6, 96, True, False, 2),
    _Row(5, 6, 96, True, False, 1, 2),
)
_STEM_CHANNELS = 16
_NARROW = 0.75  # the width below which the stem keeps its channels, as in timm's weights
_TIMM_DEPTHS = {"large": (1, 2, 3, 4, 2, 3), "small": (1, 2, 3, 2, 3)}  # blocks in each row of its table
_NUM_FEATURES = {"large": 1280, "small": 1024}
_PAPER = "arXiv:1905.02244"
_batch_norm = partial(BatchNorm, epsilon=1e-3, momentum=0.99)  # as the authors trained


class MobileNetV3(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The layer that widens the embedding comes after the pooling, where it costs almost nothing (section 5.1).

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers but, below 1, of the one after the pooling, and, below 0.75,
            of the stem.
        size: "large" or "small".
        small_images: the 32×32 form, without the first two strides: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
        dilates_first: whether the first block of a stage that is dilated in place of its stride is dilated itself, as
            torchvision has it; TensorFlow and timm leave it undilated. Unless it is given, weights that are loaded
            set it by where they come from.
        reduced_tail: halves the channels of the last stage and the expansion of its first block, for dense prediction
            (section 6.4); the weights of ImageNet do not fit.
        dropout: rate before the head.
        drop_path: rate at the last block; it grows linearly from 0 at the first.
        norm: makes the normalisations.
        act: activation of all but the early blocks, which have ReLU.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or if the paper has no such size.
    """

    last_is_dense = True  # it is narrow enough (section 6.4)

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        size: str = "large",
        small_images: bool = False,
        output_stride: int | None = None,
        dilates_first: bool = False,
        reduced_tail: bool = False,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        norm: Norm = _batch_norm,
        act: Activation = jax.nn.hard_swish,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if size not in _NUM_FEATURES:
            raise ValueError(f"size={size!r} is not one of the paper's: {', '.join(_NUM_FEATURES)}")
        self.size = size
        self.dilates_first = dilates_first
        shared: dict[str, Any] = {"norm": norm, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, act=act, **shared)
        plan = StridePlan(output_stride, dilates_first)
        first_stride, _ = plan.next(1 if small_images else 2)
        channels = _STEM_CHANNELS if width < _NARROW else scale_channels(_STEM_CHANNELS, width)
        self.stem = unit(in_channels, channels, 3, stride=first_stride)

        def block(row: _Row, in_channels: int, out_channels: int, **options: Any) -> InvertedResidual:
            hidden = scale_channels(in_channels, row.expansion_ratio)
            squeeze = partial(SqueezeExcite, squeeze_channels=scale_channels(hidden, 0.25), gate=jax.nn.hard_sigmoid)
            return InvertedResidual(
                in_channels,
                out_channels,
                row.kernel_size,
                hidden_channels=hidden,
                squeeze_excite=squeeze if row.squeezes else None,
                act=jax.nn.relu if row.is_early else act,
                **options,
                **shared,
            )

        table = split_where_striding(_LARGE if size == "large" else _SMALL)
        if reduced_tail:
            first, *others = table[-1]
            first = first._replace(expansion_ratio=first.expansion_ratio / 2)
            table[-1] = [row._replace(channels=row.channels // 2) for row in (first, *others)]
        stages, strides, channels = build_stages(
            table,
            channels,
            plan,
            block,
            scale=partial(scale_channels, width=width),
            drop_path=drop_path,
            small_images=small_images,
        )
        self._init_stages(stages, strides)
        self.last = unit(channels, 6 * channels, 1)
        num_features = scale_channels(_NUM_FEATURES[size], max(1.0, width))
        self.after_pooling = nnx.Linear(6 * channels, num_features, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        self.act = act
        self._init_head(num_features, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def dilate_first(self, dilates_first: bool) -> None:
        self.dilates_first = dilates_first
        before, stages = 1, cast(Any, self.stages)
        for stage in stages:
            first, dilation = stage[0].depthwise.conv, stage[-1].depthwise.conv.kernel_dilation
            wanted = dilation if dilates_first else before
            if first.kernel_dilation != wanted and len(stage) > 1:
                pixels = symmetric_padding(first.kernel_size[0], wanted)
                first.kernel_dilation, first.padding = wanted, ((pixels, pixels), (pixels, pixels))
            before = dilation

    def embed(self, x: jax.Array) -> jax.Array:
        """The vector that the head classifies, shape (N, num_features)."""
        return self.act(self.after_pooling(super().embed(x)))

    def torch_names(self) -> dict[str, NameMap]:
        named = list(blocks(self.stages))
        torchvision = {
            "stem": "features.0.[0,1]",
            "last": f"features.{len(named) + 1}.[0,1]",
            "after_pooling": "classifier.0",
            "head": "classifier.3",
        }
        for number, (path, block) in enumerate(named, start=1):
            torchvision |= torchvision_inverted_residual(path, f"features.{number}", block)
        depths = _TIMM_DEPTHS[self.size]
        timm = timm_inverted_residuals(self.stages, depths)
        timm |= {"last": f"blocks.{len(depths)}.0.[conv,bn1]", "after_pooling": "conv_head"}
        return {
            "torchvision": NameMap(torchvision, dilates_first=True, epsilon=1e-3),
            "timm": NameMap(timm, convolutions=frozenset({"after_pooling"}), dilates_first=False),
        }


# The paper's figures, of the narrow nets in its appendix, parameters as PyTorch counts them. It does not say what its
# 44 million MACs of small 0.75 are, of which this project finds 43.4, and its small 0.5 has a narrower stem.
_TORCHVISION = {
    "mobilenet_v3_large": (
        TorchvisionWeights("MobileNet_V3_Large_Weights.IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth"),
        TorchvisionWeights(
            "MobileNet_V3_Large_Weights.IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth", Preprocessing(224, 232)
        ),
    ),
    "mobilenet_v3_small": (
        TorchvisionWeights("MobileNet_V3_Small_Weights.IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth"),
    ),
}
for _name, _size, _width, _parameters, _macs, _top1, _tolerance, _timm in (
    ("mobilenet_v3_large", "large", 1.0, 5_483_032, 217e6, 75.2, 0.01, "mobilenetv3_large_100"),
    ("mobilenet_v3_large_x0_75", "large", 0.75, 3_993_528, 155e6, 73.3, 0.01, "mobilenetv3_large_075"),
    ("mobilenet_v3_small", "small", 1.0, 2_542_856, 57e6, 67.4, 0.01, "mobilenetv3_small_100"),
    ("mobilenet_v3_small_x0_75", "small", 0.75, 2_041_872, 44e6, 65.4, 0.015, "mobilenetv3_small_075"),
    ("mobilenet_v3_small_x0_5", "small", 0.5, 1_593_224, None, None, 0.01, "mobilenetv3_small_050"),
):
    register(
        _name,
        MobileNetV3,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1, macs_tolerance=_tolerance),
        weights=(
            *_TORCHVISION.get(_name, ()),
            TimmWeights(_timm),
            *([TimmWeights(f"tf_{_timm}", from_tensorflow=True)] if _width > 0.5 else []),
        ),
        size=_size,
        width=_width,
    )
