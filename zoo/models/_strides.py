"""Output stride: turning late strides into dilation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class StridePlan:
    """Hands out strides stage by stage until the output stride is reached, and dilation from there on.

    A stage that may no longer stride keeps its resolution; what would have been its stride multiplies the dilation
    of the layers after its first one, so that every layer sees the context it was trained with (1412.7062,
    section 3.1; PyTorch's `replace_stride_with_dilation`). Some nets dilate the first one as well.

    Attributes:
        output_stride: the largest stride of a map over the input image; None for no limit.
        dilates_first: whether the first layer of such a stage already has the stage's dilation.
        stride: of the maps so far.
        dilation: of the layers so far.

    Raises:
        ValueError: if `output_stride` is not a power of two.
    """

    output_stride: int | None
    dilates_first: bool = False
    stride: int = 1
    dilation: int = 1

    def __post_init__(self) -> None:
        limit = self.output_stride
        if limit is not None and (limit < 1 or limit & (limit - 1)):
            raise ValueError(f"output_stride={limit} must be a power of two, such as 8, 16 or 32")

    def next(self, stride: int) -> tuple[int, int]:
        """(stride, dilation) of the next stage's first layer; its other layers take `self.dilation`."""
        dilation = self.dilation
        if self.output_stride is not None and self.stride * stride > self.output_stride:
            self.dilation *= stride
            return 1, self.dilation if self.dilates_first else dilation
        self.stride *= stride
        return stride, dilation
