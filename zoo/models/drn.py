"""Dilated residual networks, DRN (Yu, Koltun & Funkhouser 2017, arXiv 1705.09914): ResNets that stop at stride 8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BasicBlock, BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.models.resnet import RESIDUAL_NAMES, ResNet
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    channels: int
    stride: int
    dilation: int
    blocks: int = 1


_ROWS = (  # stages 3 to 6 (figure 5); bottlenecks give four times these channels
    _Row(64, 2, 1),
    _Row(128, 2, 1),
    _Row(256, 1, 2),
    _Row(512, 1, 4),
)
_NARROW_CHANNELS = (16, 32)  # of stages 1 and 2
_LAST_CHANNELS = 512
_PAPER = "arXiv:1705.09914"


class DRN(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32; form C or D, which make no gridding artifacts.

    Convolutions at the full resolution and two narrow stages take the place of ResNet's pooling, whose sharp maxima
    show up as a grid after dilation. Stages 5 and 6 are dilated by 2 and 4 instead of strided. Stages 7 and 8 go
    back to 2 and 1, without shortcuts, which smooths out the grid that dilation leaves (section 4, figure 5).

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        form: "C" has a residual block in stages 1 and 2 and two convolutions in each of stages 7 and 8; "D", the
            authors' later one, has one convolution in each of these four.
        depths: blocks in stages 3 to 6.
        bottleneck: blocks of three convolutions instead of two in stages 3 to 6.
        width: multiplies the channels of all layers.
        small_images: the 32×32 form: the last map is 4×4 at 32×32 with the strides as they are, so only stage 6
            changes. Its dilation is 2: at 4 all taps but the middle one would see nothing but padding.
        dropout: rate before the head.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or if there is no form of that name.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        form: str = "D",
        depths: tuple[int, int, int, int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width: float = 1.0,
        small_images: bool = False,
        dropout: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if form not in ("C", "D"):
            raise ValueError(f"form={form!r} must be 'C' or 'D'; form A is ResNet with output_stride=8")
        if len(depths) != len(_ROWS):
            raise ValueError(f"depths={depths} must have a number for each of stages 3 to 6")
        self.form = form
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        conv: Callable[..., ConvNormAct] = partial(ConvNormAct, **shared)
        narrow: Callable[..., nnx.Module] = conv if form == "D" else partial(BasicBlock, **shared)
        scale = partial(scale_channels, width=width)
        first, second = (scale(channels) for channels in _NARROW_CHANNELS)
        self.stem = conv(in_channels, first, 7)
        stages: list[list[nnx.Module]] = [[narrow(first, first)], [narrow(first, second, stride=2)]]

        def block(row: _Row, in_channels: int, out_channels: int, *, stride: int, dilation: int) -> nnx.Module:
            dilation *= min(row.dilation, 2) if small_images else row.dilation
            options: dict[str, Any] = {"stride": stride, "dilation": dilation} | shared
            if bottleneck:
                return Bottleneck(in_channels, out_channels, scale(row.channels), **options)
            return BasicBlock(in_channels, out_channels, **options)

        residual, _, channels = build_stages(
            [[row._replace(blocks=depth)] for row, depth in zip(_ROWS, depths, strict=True)],
            second,
            StridePlan(None),
            block,
            scale=lambda channels: 4 * scale(channels) if bottleneck else scale(channels),
        )
        stages += residual
        for dilation in (2, 1):
            stage: list[nnx.Module] = []
            for _ in range(1 if form == "D" else 2):
                stage.append(conv(channels, scale(_LAST_CHANNELS), 3, dilation=dilation))
                channels = scale(_LAST_CHANNELS)
            stages.append(stage)
        self._init_stages(stages, (1, 2, 4, 8, 8, 8, 8, 8))
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        layers = {"stem": "layer0.[0,1]" if self.form == "D" else "[conv1,bn1]", "head": "fc"}
        for (path, block), name in zip(
            blocks(self.stages), numbered("layer{}.{}", map(len, self.stages), first=1), strict=True
        ):
            layer, number = name.split(".")
            if not isinstance(block, ConvNormAct):
                layers |= under(path, name, RESIDUAL_NAMES)
            elif self.form == "D":
                layers[path] = f"{layer}.[0,1]"
            else:  # a basic block without its shortcut
                conv = int(number) + 1
                layers[path] = f"{layer}.0.[conv{conv},bn{conv}]"
        # Where the channels change, those blocks have shortcuts there that are never used.
        unused = tuple(f"layer{stage}.0.downsample." for stage in (7, 8))
        return {"fyu/drn": NameMap(layers, convolutions=frozenset({"head"}), unused=unused)}


_OF_18, _OF_34, _OF_101 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3)
# Form A is ResNet with dilation for its last two strides, and has its parameters. Its 32×32 form has few strides to
# begin with and is dilated only for an `output_stride` of 4 or less.
for _name, _depths, _bottleneck, _parameters, _top1 in (
    ("drn_a_18", _OF_18, False, 11_689_512, 72.0),
    ("drn_a_34", _OF_34, False, 21_797_672, 75.2),
    ("drn_a_50", _OF_34, True, 25_557_032, 77.1),
):
    register(
        _name,
        ResNet,
        ModelInfo(_PAPER, 224, parameters=_parameters, top1=_top1),
        depths=_depths,
        bottleneck=_bottleneck,
        output_stride=8,
    )

# The authors' figures, but for the exact counts, which are imgclsmob's. Shortcuts that the authors' code of C-58
# makes and never uses are not counted: with them it has their 41.6 million parameters.
for _name, _form, _depths, _bottleneck, _count, _macs, _top1 in (
    ("drn_c_26", "C", _OF_18, False, 21_126_584, 17.0e9, 75.1),
    ("drn_c_42", "C", _OF_34, False, 31.2e6, 25.1e9, 77.1),
    ("drn_c_58", "C", _OF_34, True, 40_542_008, 32.5e9, 78.3),
    ("drn_d_22", "D", _OF_18, False, 16_393_752, 13.1e9, 74.2),
    ("drn_d_38", "D", _OF_34, False, 26.5e6, 21.2e9, 76.2),
    ("drn_d_54", "D", _OF_34, True, 35_809_176, 28.5e9, 78.8),
    ("drn_d_105", "D", _OF_101, True, 54_801_304, 43.4e9, 79.4),
):
    register(
        _name,
        DRN,
        ModelInfo(_PAPER, 224, parameters=_count, macs=_macs, top1=_top1),
        form=_form,
        depths=_depths,
        bottleneck=_bottleneck,
    )
