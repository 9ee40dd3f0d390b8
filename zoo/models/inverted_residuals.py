"""The stages of nets that are a table of inverted residuals: MobileNetV2 and V3, MnasNet, EfficientNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from flax import nnx

from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels


class Row(Protocol):
    """A row of the table.

    Attributes:
        channels: of the output of each block, before the width multiplier.
        blocks: how many there are.
        stride: of the first of them.
    """

    @property
    def channels(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def stride(self) -> int: ...


def inverted_residual_stages(
    rows: Sequence[Row],
    in_channels: int,
    plan: StridePlan,
    block: Callable[..., nnx.Module],
    *,
    width: float,
    drop_path: float,
    small_images: bool,
) -> tuple[list[list[nnx.Module]], list[int], int]:
    """Builds the blocks of a table; each row that strides begins a stage.

    Args:
        rows: the table.
        in_channels: that the stem gives.
        plan: hands out the strides; the stem has had its own.
        block: `block(row, in_channels, out_channels, stride=..., dilation=..., drop_path=...)` makes a block.
        width: multiplies the channels.
        drop_path: rate at the last block; it grows linearly from 0 at the first.
        small_images: whether the first row that strides does not.

    Returns:
        The stages, the strides of their outputs over the image, and the channels of the last.
    """
    drop_rates = iter(np.linspace(0, drop_path, sum(row.blocks for row in rows)).tolist())
    first_stride = next(number for number, row in enumerate(rows) if row.stride > 1)
    stages: list[list[nnx.Module]] = []
    strides: list[int] = []
    channels = in_channels
    for number, row in enumerate(rows):
        if number == 0 or row.stride > 1:
            stages.append([])
            strides.append(0)
        out_channels = scale_channels(row.channels, width)
        stride, dilation = plan.next(1 if small_images and number == first_stride else row.stride)
        for _ in range(row.blocks):
            options = {"stride": stride, "dilation": dilation, "drop_path": next(drop_rates)}
            stages[-1].append(block(row, channels, out_channels, **options))
            channels, stride, dilation = out_channels, 1, plan.dilation
        strides[-1] = plan.stride
    return stages, strides, channels
