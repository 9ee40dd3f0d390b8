"""RegNet (Radosavovic et al. 2020, arXiv 2003.13678): nets whose widths follow a quantised line.

torchvision and the authors' pycls round some widths differently, which makes two nets of one row of the paper. The
nets that torchvision has are named as there (`regnet_x_400mf`), those that only pycls has as in timm (`regnetx_004`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._stages import build_stages
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:2003.13678"
_STEM_CHANNELS = 32
_TORCHVISION_BLOCK = {
    "reduce": "f.a.[0,1]",
    "filter": "f.b.[0,1]",
    "squeeze_excite": "f.se.[fc1,fc2]",
    "expand": "f.c.[0,1]",
    "shortcut": "proj.[0,1]",
}
_TIMM_BLOCK = {
    "reduce": "conv1.[conv,bn]",
    "filter": "conv2.[conv,bn]",
    "squeeze_excite": "se.[fc1,fc2]",
    "expand": "conv3.[conv,bn]",
    "shortcut": "downsample.[conv,bn]",
}


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int = 2


def quantized_widths(depth: int, initial_width: int, slope: float, step: float) -> dict[int, int]:
    """Widths of the stages -> how many blocks each has (section 3.3, equations 2 to 4).

    Block i would like to be `initial_width + slope * i` channels wide; that is rounded to `initial_width` times a
    whole power of `step`, and this to a multiple of 8. Neighbours of the same width are a stage.

    Args:
        depth: blocks of the net, d in the paper.
        initial_width: w_0.
        slope: w_a.
        step: w_m.

    Raises:
        ValueError: if a number is out of range.
    """
    if depth < 1 or initial_width < 1 or slope < 0 or step <= 1:
        raise ValueError(
            f"depth={depth}, initial_width={initial_width}, slope={slope}, step={step}: the first two must be at "
            "least 1, the slope at least 0 and the step above 1"
        )
    wanted = initial_width + slope * np.arange(depth)
    powers = np.round(np.log(wanted / initial_width) / np.log(step))
    widths, depths = np.unique(np.round(initial_width * step**powers / 8) * 8, return_counts=True)
    return dict(zip(widths.astype(int).tolist(), depths.tolist(), strict=True))


class RegNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        depths: blocks in each stage.
        widths: channels of each stage, multiples of `group_width`.
        group_width: channels of one group of the 3×3 convolutions.
        squeeze_ratio: channels of the squeeze-and-excitation over those of the block's input; None for RegNetX,
            which has none.
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
        ValueError: if a number is out of range, or `depths` and `widths` disagree.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        depths: tuple[int, ...] = (1, 1, 4, 7),
        widths: tuple[int, ...] = (24, 56, 152, 368),
        group_width: int = 8,
        squeeze_ratio: float | None = None,
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if len(depths) != len(widths):
            raise ValueError(f"depths={depths} and widths={widths} must have a number for each stage")
        if group_width < 1 or any(width % group_width for width in widths):
            raise ValueError(f"group_width={group_width} must divide each of widths={widths}")
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride)
        channels = _STEM_CHANNELS
        first_stride, _ = plan.next(1 if small_images else 2)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=first_stride, **shared)

        def block(_: _Row, in_channels: int, out_channels: int, **options: Any) -> Bottleneck:
            return Bottleneck(
                in_channels,
                out_channels,
                out_channels,
                groups=out_channels // group_width,
                squeeze_channels=None if squeeze_ratio is None else round(squeeze_ratio * in_channels),
                **options,
                **shared,
            )

        stages, strides, channels = build_stages(
            [[_Row(width, depth)] for width, depth in zip(widths, depths, strict=True)],
            channels,
            plan,
            block,
            drop_path=drop_path,
            small_images=small_images,
        )
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        torchvision, timm = {"stem": "stem.[0,1]", "head": "fc"}, {"stem": "stem.[conv,bn]", "head": "head.fc"}
        in_torchvision = numbered("trunk_output.block{0}.block{0}-{1}", map(len, self.stages), first=1)
        for (path, _), name in zip(blocks(self.stages), in_torchvision, strict=True):
            torchvision |= under(path, name, _TORCHVISION_BLOCK)
            timm |= under(path, "s{}.b{}".format(*(int(part) + 1 for part in path.split(".")[1:])), _TIMM_BLOCK)
        return {"torchvision": NameMap(torchvision), "timm": NameMap(timm)}


# Depth, w_0, w_a, w_m and group width are those of the paper's lists of its best nets, and stage widths that are no
# multiple of the group width are rounded to one. Half-way between two multiples torchvision rounds up and pycls to the
# even one: of these two rows that makes two nets each. Where both give the same net, it has torchvision's name only.
_X_400MF, _Y_800MF = (22, 24, 24.48, 2.54, 16), (14, 56, 38.84, 2.4, 16)
_Y = 0.25  # RegNetY's ratio of squeeze-and-excitation


def _half_up(width: int, group_width: int) -> int:
    return scale_channels(width, 1.0, group_width)


def _half_to_even(width: int, group_width: int) -> int:
    return round(width / group_width) * group_width


def _options(
    line: tuple[int, int, float, float, int], round_width: Callable[[int, int], int], squeeze_ratio: float | None
) -> dict[str, Any]:
    depth, initial_width, slope, step, group_width = line
    stages = quantized_widths(depth, initial_width, slope, step)
    return {
        "depths": tuple(stages.values()),
        "widths": tuple(round_width(width, group_width) for width in stages),
        "group_width": group_width,
        "squeeze_ratio": squeeze_ratio,
    }


_LATER = Preprocessing(224, 232)  # of the weights that torchvision trained by its newer recipe
# Figures of torchvision, the accuracies those of its first weights.
for _net, _line, _ratio, _parameters, _macs, _top1, _first, _second, _timm in (
    ("X_400MF", _X_400MF, None, 5_495_976, 414e6, 72.8, "adf1edd5", "62229a5f", "regnetx_004_tv"),
    ("X_800MF", (16, 56, 35.73, 2.28, 16), None, 7_259_656, 800e6, 75.2, "ad17e45c", "94a99ebd", "regnetx_008"),
    ("Y_400MF", (16, 48, 27.89, 2.09, 8), _Y, 4_344_144, 402e6, 74.0, "c65dace8", "e6988f5f", "regnety_004"),
    ("Y_800MF", _Y_800MF, _Y, 6_432_512, 834e6, 76.4, "1b27b58c", "58fc7688", "regnety_008_tv"),
):
    _name = f"regnet_{_net}".lower()
    register(
        _name,
        RegNet,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        weights=(
            TorchvisionWeights(f"RegNet_{_net}_Weights.IMAGENET1K_V1", f"{_name}-{_first}.pth"),
            TorchvisionWeights(f"RegNet_{_net}_Weights.IMAGENET1K_V2", f"{_name}-{_second}.pth", _LATER),
            TimmWeights(_timm),
        ),
        **_options(_line, _half_up, _ratio),
    )

# Parameters as timm counts them, MACs and accuracies of the authors' table.
for _name, _line, _ratio, _parameters, _macs, _top1 in (
    ("regnetx_002", (13, 24, 36.44, 2.49, 8), None, 2_684_792, 200e6, 68.9),
    ("regnetx_004", _X_400MF, None, 5_157_512, 400e6, 72.7),
    ("regnetx_006", (16, 48, 36.97, 2.24, 24), None, 6_196_040, 600e6, 74.1),
    ("regnety_002", (13, 24, 36.44, 2.49, 8), _Y, 3_162_996, 200e6, 70.4),
    ("regnety_006", (15, 48, 32.54, 2.32, 16), _Y, 6_055_160, 600e6, 75.5),
    ("regnety_008", _Y_800MF, _Y, 6_263_168, 800e6, 76.3),
):
    register(
        _name,
        RegNet,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        weights=[TimmWeights(_name)],
        **_options(_line, _half_to_even, _ratio),
    )
