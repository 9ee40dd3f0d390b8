"""MobileNetV4 (Qin et al. 2024, arXiv 2404.10518), its convolutional nets: universal inverted bottlenecks."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.blocks.universal_inverted_bottleneck import FusedInvertedBottleneck, UniversalInvertedBottleneck
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._rematerialise import run
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.published import TimmWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:2404.10518"
_LAST_CHANNELS, _NUM_FEATURES = 960, 1280


class _Conv(NamedTuple):
    kernel_size: int
    channels: int
    stride: int = 1
    blocks: int = 1


class _Fused(NamedTuple):
    hidden_channels: int
    channels: int
    stride: int = 1
    blocks: int = 1


class _Universal(NamedTuple):
    start_kernel_size: int | None
    middle_kernel_size: int | None
    hidden_channels: int
    channels: int
    stride: int = 1
    blocks: int = 1


_Row = _Conv | _Fused | _Universal

_STEM_CHANNELS = {"small": 32, "medium": 32, "large": 24}
_STAGES: dict[str, tuple[tuple[_Row, ...], ...]] = {  # the paper's tables of its architectures
    "small": (
        (_Conv(3, 32, 2), _Conv(1, 32)),
        (_Conv(3, 96, 2), _Conv(1, 64)),
        (_Universal(5, 5, 192, 96, 2), _Universal(None, 3, 192, 96, blocks=4), _Universal(3, None, 384, 96)),
        (
            _Universal(3, 3, 576, 128, 2),
            _Universal(5, 5, 512, 128),
            _Universal(None, 5, 512, 128),
            _Universal(None, 5, 384, 128),
            _Universal(None, 3, 512, 128, blocks=2),
        ),
    ),
    "medium": (
        (_Fused(128, 48, 2),),
        (_Universal(3, 5, 192, 80, 2), _Universal(3, 3, 160, 80)),
        (
            _Universal(3, 5, 480, 160, 2),
            _Universal(3, 3, 640, 160, blocks=2),
            _Universal(3, 5, 640, 160),
            _Universal(3, 3, 640, 160),
            _Universal(3, None, 640, 160),
            _Universal(None, None, 320, 160),
            _Universal(3, None, 640, 160),
        ),
        (
            _Universal(5, 5, 960, 256, 2),
            _Universal(5, 5, 1024, 256),
            _Universal(3, 5, 1024, 256, blocks=2),
            _Universal(None, None, 1024, 256),
            _Universal(3, None, 1024, 256),
            _Universal(3, 5, 512, 256),
            _Universal(5, 5, 1024, 256),
            _Universal(None, None, 1024, 256, blocks=2),
            _Universal(5, None, 512, 256),
        ),
    ),
    "large": (
        (_Fused(96, 48, 2),),
        (_Universal(3, 5, 192, 96, 2), _Universal(3, 3, 384, 96)),
        (
            _Universal(3, 5, 384, 192, 2),
            _Universal(3, 3, 768, 192, blocks=3),
            _Universal(3, 5, 768, 192),
            _Universal(5, 3, 768, 192, blocks=5),
            _Universal(3, None, 768, 192),
        ),
        (
            _Universal(5, 5, 768, 512, 2),
            _Universal(5, 5, 2048, 512, blocks=3),
            _Universal(5, None, 2048, 512),
            _Universal(5, 3, 2048, 512),
            _Universal(5, None, 2048, 512, blocks=2),
            _Universal(5, 3, 2048, 512),
            _Universal(5, 5, 2048, 512),
            _Universal(5, None, 2048, 512, blocks=3),
        ),
    ),
}

_TIMM_UNIVERSAL = {
    "start": "dw_start.[conv,bn]",
    "expand": "pw_exp.[conv,bn]",
    "middle": "dw_mid.[conv,bn]",
    "project": "pw_proj.[conv,bn]",
}


class MobileNetV4(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    The last convolution comes after the pooling, where it is as cheap as a linear layer.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        size: "small", "medium" or "large".
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
        ValueError: if a number is out of range, or if the paper has no such size.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        size: str = "small",
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if size not in _STAGES:
            raise ValueError(f"size={size!r} is not one of the paper's: {', '.join(_STAGES)}")
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        channels = _STEM_CHANNELS[size]
        first_stride, _ = plan.next(1 if small_images else 2)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=first_stride, **shared)

        stages, strides, channels = build_stages(
            _STAGES[size],
            channels,
            plan,
            partial(_block, shared=shared),
            drop_path=drop_path,
            small_images=small_images,
        )
        self._init_stages(stages, strides)

        self.last = ConvNormAct(channels, _LAST_CHANNELS, 1, **shared)
        self.after_pooling = ConvNormAct(_LAST_CHANNELS, _NUM_FEATURES, 1, **shared)
        self._init_head(_NUM_FEATURES, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def embed(self, x: jax.Array) -> jax.Array:
        """The vector that the head classifies, shape (N, num_features)."""
        means = super().embed(x)
        return jnp.squeeze(run(self.after_pooling, means[:, None, None]), (1, 2))

    def torch_names(self) -> dict[str, NameMap]:
        depths = [len(stage) for stage in self.stages]
        layers = {
            "stem": "[conv_stem,bn1]",
            "last": f"blocks.{len(depths)}.0.[conv,bn1]",
            "after_pooling": "[conv_head,norm_head]",
            "head": "classifier",
        }
        for (path, block), name in zip(blocks(self.stages), numbered("blocks.{}.{}", depths), strict=True):
            match block:
                case ConvNormAct():
                    layers[path] = f"{name}.[conv,bn1]"
                case FusedInvertedBottleneck():
                    layers |= under(path, name, {"expand": "[conv_exp,bn1]", "project": "[conv_pwl,bn2]"})
                case UniversalInvertedBottleneck():
                    layers |= under(path, name, _TIMM_UNIVERSAL)
        return {"timm": NameMap(layers)}


def _block(
    row: _Row,
    in_channels: int,
    out_channels: int,
    *,
    stride: int,
    dilation: int,
    drop_path: float,
    shared: dict[str, Any],
) -> nnx.Module:
    options = {"stride": stride, "dilation": dilation} | shared
    match row:
        case _Conv():  # changes the shape: without a shortcut there is no path to drop
            return ConvNormAct(in_channels, out_channels, row.kernel_size, **options)
        case _Fused():
            return FusedInvertedBottleneck(
                in_channels, out_channels, row.hidden_channels, 3, drop_path=drop_path, **options
            )
        case _Universal():
            return UniversalInvertedBottleneck(
                in_channels,
                out_channels,
                row.hidden_channels,
                start_kernel_size=row.start_kernel_size,
                middle_kernel_size=row.middle_kernel_size,
                drop_path=drop_path,
                **options,
            )


# Accuracies are the paper's, parameters and MACs timm's, whose layers these are; the medium net's accuracy is that at
# 256×256. timm counts two more operations for each number that a batch norm gives: 3.9, 11.6 and 54.6 million, which
# is all the difference. The dropout rates are those of the authors' training configurations.
for _size, _input_size, _parameters, _macs, _top1, _dropout in (
    ("small", 224, 3_774_024, 190e6, 73.8, 0.3),
    ("medium", 224, 9_715_512, 840e6, 79.9, 0.2),
    ("large", 384, 32_590_864, 6.43e9, 82.9, 0.2),
):
    register(
        f"mobilenet_v4_conv_{_size}",
        MobileNetV4,
        ModelInfo(_PAPER, _input_size, parameters=_parameters, macs=_macs, top1=_top1, macs_tolerance=0.022),
        weights=[TimmWeights(f"mobilenetv4_conv_{_size}")],
        size=_size,
        dropout=_dropout,
    )
