"""Sizes and padding of convolutions: plain integer arithmetic, one spatial axis at a time."""

from __future__ import annotations


def effective_kernel_size(kernel_size: int, dilation: int = 1) -> int:
    """The extent `dilation * (kernel_size - 1) + 1` that a dilated kernel covers (1511.07122, section 2)."""
    return dilation * (kernel_size - 1) + 1


def symmetric_padding(kernel_size: int, dilation: int = 1) -> int:
    """Padding per side, `dilation * (kernel_size - 1) // 2`, that keeps the size of the map at stride 1.

    PyTorch's convention, whatever the stride: weights from there need it. An even kernel leaves the map one
    pixel (times the dilation) smaller.
    """
    return dilation * (kernel_size - 1) // 2


def output_size(
    input_size: int, kernel_size: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> int:
    """Size of the output map of a convolution; 0 where the kernel does not fit (1603.07285, relationship 15).

    Args:
        input_size: in pixels.
        kernel_size: taps of the kernel.
        stride: step of the kernel.
        padding: pixels on each side, or (before, after).
        dilation: distance between neighbouring taps.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    room = input_size + before + after - effective_kernel_size(kernel_size, dilation)
    return max(room // stride + 1, 0)
