"""The stage loop: from a table of rows to blocks with their strides, dilations and drop-path rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from flax import nnx

from zoo.models._strides import StridePlan


class Row(Protocol):
    """A row of the table: blocks that differ in nothing but the stride of the first.

    Attributes:
        channels: of the output of each block.
        blocks: how many there are.
        stride: of the first of them.
    """

    @property
    def channels(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def stride(self) -> int: ...


AnyRow = TypeVar("AnyRow", bound=Row)


def split_where_striding(rows: Iterable[AnyRow]) -> list[list[AnyRow]]:
    """The stages of a table in which each row that strides begins one."""
    stages: list[list[AnyRow]] = []
    for row in rows:
        if not stages or row.stride > 1:
            stages.append([])
        stages[-1].append(row)
    return stages


def build_stages(
    stages: Sequence[Sequence[AnyRow]],
    in_channels: int,
    plan: StridePlan,
    block: Callable[..., nnx.Module],
    *,
    scale: Callable[[int], int] = lambda channels: channels,
    drop_path: float | None = None,
    small_images: bool = False,
) -> tuple[list[list[nnx.Module]], list[int], int]:
    """Builds the blocks of every stage, one after another.

    Args:
        stages: the rows of each.
        in_channels: channels that the stem gives.
        plan: hands out strides and dilations; the stem has had its own.
        block: `block(row, in_channels, out_channels, stride=..., dilation=...)` makes a block; with
            `drop_path=...` if there is a rate.
        scale: from the channels of a row to those that its blocks give, as by a width multiplier.
        drop_path: rate at the last block; it grows linearly from 0 at the first. None for blocks that take no rate.
        small_images: whether the first row that strides does not: the 32×32 form.

    Returns:
        The blocks of each stage, the strides of the stages' outputs over the image, and the channels of the last.
    """
    rates = iter(np.linspace(0, drop_path or 0, sum(row.blocks for rows in stages for row in rows)).tolist())
    skips_stride = small_images
    built: list[list[nnx.Module]] = []
    strides: list[int] = []
    channels = in_channels
    for rows in stages:
        stage: list[nnx.Module] = []
        for row in rows:
            out_channels, first_stride = scale(row.channels), row.stride
            if skips_stride and first_stride > 1:
                first_stride, skips_stride = 1, False
            for number in range(row.blocks):
                stride, dilation = plan.next(first_stride if number == 0 else 1)
                rate = {"drop_path": next(rates)} if drop_path is not None else {}
                stage.append(block(row, channels, out_channels, stride=stride, dilation=dilation, **rate))
                channels = out_channels
        built.append(stage)
        strides.append(plan.stride)
    return built, strides, channels
