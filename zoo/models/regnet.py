"""RegNet (Radosavovic et al. 2020, arXiv 2003.13678): nets whose widths follow a quantised line."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models.classifier import ImageClassifier
from zoo.models.strides import StridePlan
from zoo.models.width import scale_channels
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:2003.13678"
_STEM_CHANNELS = 32


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
            which has no such.
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

        drop_rates = iter(np.linspace(0, drop_path, sum(depths)).tolist())
        stages, strides = [], []
        for number, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            stride, dilation = plan.next(1 if small_images and number == 0 else 2)
            stage = []
            for _ in range(depth):
                stage.append(
                    Bottleneck(
                        channels,
                        width,
                        width,
                        stride=stride,
                        dilation=dilation,
                        groups=width // group_width,
                        squeeze_channels=None if squeeze_ratio is None else round(squeeze_ratio * channels),
                        drop_path=next(drop_rates),
                        **shared,
                    )
                )
                channels, stride, dilation = width, 1, plan.dilation
            stages.append(stage)
            strides.append(plan.stride)
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)


_X_400MF, _Y_800MF = (22, 24, 24.48, 2.54, 16), (14, 56, 38.84, 2.4, 16)  # two nets each, as rounding goes
# Depth, w_0, w_a, w_m and group width are those of the paper's lists of its best nets. Stage widths that are no
# multiple of the group width are rounded to one. Those half-way go up in torchvision's nets, named `regnet_x_` and
# `regnet_y_`, and to the even multiple in the authors' pycls, named as in the paper; where that gives one net twice,
# only torchvision's name is here.
for _name, (_depth, _initial_width, _slope, _step, _group_width), _parameters, _macs, _top1 in (
    # figures of torchvision, the accuracies those of its first weights
    ("regnet_x_400mf", _X_400MF, 5_495_976, 414e6, 72.8),
    ("regnet_x_800mf", (16, 56, 35.73, 2.28, 16), 7_259_656, 800e6, 75.2),
    ("regnet_y_400mf", (16, 48, 27.89, 2.09, 8), 4_344_144, 402e6, 74.0),
    ("regnet_y_800mf", _Y_800MF, 6_432_512, 834e6, 76.4),
    # parameters as timm counts them, MACs and accuracies of the authors' table
    ("regnetx_200mf", (13, 24, 36.44, 2.49, 8), 2_684_792, 200e6, 68.9),
    ("regnetx_400mf", _X_400MF, 5_157_512, 400e6, 72.7),
    ("regnetx_600mf", (16, 48, 36.97, 2.24, 24), 6_196_040, 600e6, 74.1),
    ("regnety_200mf", (13, 24, 36.44, 2.49, 8), 3_162_996, 200e6, 70.4),
    ("regnety_600mf", (15, 48, 32.54, 2.32, 16), 6_055_160, 600e6, 75.5),
    ("regnety_800mf", _Y_800MF, 6_263_168, 800e6, 76.3),
):
    _stages = quantized_widths(_depth, _initial_width, _slope, _step)
    _widths = [
        scale_channels(_width, 1.0, _group_width)
        if _name.startswith("regnet_")
        else round(_width / _group_width) * _group_width
        for _width in _stages
    ]
    register(
        _name,
        RegNet,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        depths=tuple(_stages.values()),
        widths=tuple(_widths),
        group_width=_group_width,
        squeeze_ratio=0.25 if "y" in _name else None,
    )
