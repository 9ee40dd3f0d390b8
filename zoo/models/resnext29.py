"""ResNeXt-29 (Xie et al. 2016, arXiv 1611.05431, section 5.3): the CIFAR form, named by cardinality and group width."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import round_channels, scale_channels
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1611.05431"


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int
    group_width: int  # over that in the first stage


_ROWS = (_Row(256, 3, 1, 1), _Row(512, 3, 2, 2), _Row(1024, 3, 2, 4))

_BOTTLENECK_NAMES = {
    "reduce": "[conv_reduce,bn_reduce]",
    "filter": "[conv_conv,bn]",
    "expand": "[conv_expand,bn_expand]",
    "shortcut": "shortcut.[shortcut_conv,shortcut_bn]",
}


class ResNeXt29(ImageClassifier):
    """(N, 32, 32, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        cardinality: groups of every 3×3 convolution.
        group_width: channels of one group in the first stage; it doubles with every stage.
        width: multiplies the channels of all layers, those of the groups among them.
        output_stride: limits the stride of the maps by dilation; None for the whole 4.
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
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        cardinality: int = 8,
        group_width: int = 64,
        width: float = 1.0,
        output_stride: int | None = None,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        rows = [row._replace(channels=scale_channels(row.channels, width)) for row in _ROWS]
        channels = scale_channels(64, width)
        self.stem = ConvNormAct(in_channels, channels, 3, **shared)

        def block(row: _Row, in_channels: int, out_channels: int, **options: Any) -> Bottleneck:
            hidden = cardinality * round_channels(group_width * row.group_width, width)
            return Bottleneck(in_channels, out_channels, hidden, groups=cardinality, **options, **shared)

        stages, strides, channels = build_stages(split_where_striding(rows), channels, plan, block, drop_path=drop_path)
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem": "[conv_1_3x3,bn_1]", "head": "classifier"}
        theirs = numbered("stage_{0}.stage_{0}_bottleneck_{1}", map(len, self.stages), first=1)
        for (path, _), name in zip(blocks(self.stages), theirs, strict=True):
            layers |= under(path, name, _BOTTLENECK_NAMES)
        # The best-known implementation for PyTorch in the paper's size.
        return {"prlz77/ResNeXt.pytorch": NameMap(layers)}


for _cardinality, _group_width, _parameters, _macs, _top1 in (
    (2, 64, 9_130_314, None, None),  # counted by hand, as the next; the rest are published
    (4, 64, 17_562_442, None, None),
    (8, 64, 34_426_698, 5.39e9, 96.35),
    (16, 64, 68_155_210, 10.7e9, 96.42),
    (32, 4, 4_775_754, 780e6, None),
):
    register(
        f"resnext29_{_cardinality}x{_group_width}d",
        ResNeXt29,
        ModelInfo(_PAPER, 32, parameters=_parameters, macs=_macs, top1=_top1),
        cardinality=_cardinality,
        group_width=_group_width,
    )
