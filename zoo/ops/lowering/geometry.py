"""The static description of a two-dimensional convolution that every rule and every lowering works from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from zoo.ops.geometry import output_size

Direction = Literal["forward", "input_gradient", "kernel_gradient"]


@dataclass(frozen=True)
class ConvGeometry:
    """A convolution over NHWC activations with an HWIO kernel, but for its batch size and dtype.

    Attributes:
        input_size: (H, W) of the input, before padding.
        in_channels: channels of the input.
        kernel_shape: (kernel height, kernel width, in_channels // groups, out_channels).
        strides: (vertical, horizontal).
        padding: ((top, bottom), (left, right)); negative values crop.
        dilation: (vertical, horizontal) distance between neighbouring taps.
        groups: number of groups the channels are split into.
    """

    input_size: tuple[int, int]
    in_channels: int
    kernel_shape: tuple[int, int, int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int

    @property
    def kernel_size(self) -> tuple[int, int]:
        return self.kernel_shape[:2]

    @property
    def out_channels(self) -> int:
        return self.kernel_shape[3]

    @property
    def group_channels(self) -> tuple[int, int]:
        """(inputs, outputs) of a group."""
        return self.kernel_shape[2], self.out_channels // self.groups

    @property
    def output_size(self) -> tuple[int, int]:
        height, width = (
            output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
            for size, kernel, stride, padding, dilation in zip(
                self.input_size, self.kernel_size, self.strides, self.padding, self.dilation, strict=True
            )
        )
        return height, width

    @property
    def taps(self) -> int:
        """How many pixels of a channel the kernel covers."""
        return math.prod(self.kernel_size)

    @property
    def phases(self) -> int:
        """The number of maps that the strides divide the input into."""
        return math.prod(self.strides)

    @property
    def phase_size(self) -> tuple[int, int]:
        """(H / s, W / s), rounded up: the size of one of the maps that the strides divide the input into."""
        height, width = (-(-size // stride) for size, stride in zip(self.input_size, self.strides, strict=True))
        return height, width

    @property
    def is_static(self) -> bool:
        """Neither height nor width is symbolic."""
        return all(isinstance(size, int) for size in self.input_size)

    @property
    def is_depthwise(self) -> bool:
        """Each input channel has kernels of its own (one, or as many as the depth multiplier)."""
        return self.groups == self.in_channels

    @property
    def is_pointwise(self) -> bool:
        """A 1×1 kernel, without padding."""
        return self.kernel_size == (1, 1) and self.padding == ((0, 0), (0, 0))

    def repeated(self, times: int) -> ConvGeometry:
        """`times` such convolutions side by side along the channels."""
        height, width, in_width, out_channels = self.kernel_shape
        return replace(
            self,
            in_channels=self.in_channels * times,
            kernel_shape=(height, width, in_width, out_channels * times),
            groups=self.groups * times,
        )


class Problem(NamedTuple):
    """One computation: all that the choice of a lowering may depend on.

    Attributes:
        geometry: of the convolution.
        direction: what is computed, the convolution itself or one of its gradients.
        batch: number of examples; a symbolic dimension in a program that is exported for any number.
        dtype: of both operands.
    """

    geometry: ConvGeometry
    direction: Direction
    batch: int
    dtype: np.dtype
