"""The width multiplier's rounding rules."""

from __future__ import annotations


def scale_channels(channels: int, width: float, divisor: int = 8) -> int:
    """`channels * width` rounded to a multiple of `divisor`, but never below nine tenths of it nor below `divisor`.

    The rule of the MobileNet papers' reference code (1801.04381, section 4).

    Raises:
        ValueError: if `width` is not positive.
    """
    if width <= 0:
        raise ValueError(f"width={width} must be positive")
    scaled = channels * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded


def round_channels(channels: int, width: float) -> int:
    """`channels * width` rounded to a whole number: the rule of the residual nets, whose channels need no divisor.

    Raises:
        ValueError: if none is left.
    """
    rounded = round(channels * width)
    if rounded < 1:
        raise ValueError(f"width={width} leaves {channels * width:g} of {channels} channels; it must be at least "
                         f"{1 / channels:g}")  # fmt: skip
    return rounded
