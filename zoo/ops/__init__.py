"""Functions on arrays; the only place that knows how a convolution is computed."""

from zoo.lowering_names import LoweringName
from zoo.ops.acceleration import accelerate
from zoo.ops.channel_affine import channel_affine, channel_sums
from zoo.ops.channel_shuffle import channel_shuffle
from zoo.ops.checkpoint_policy import convolutions_saveable
from zoo.ops.convolution import conv_general_dilated, explain
from zoo.ops.geometry import effective_kernel_size, output_size, symmetric_padding
from zoo.ops.interpolation import enlarge_bilinear, resize_bilinear
from zoo.ops.lowering.select import force_lowering
from zoo.ops.transposed_convolution import conv_transpose

__all__ = [
    "LoweringName",
    "accelerate",
    "channel_affine",
    "channel_shuffle",
    "channel_sums",
    "conv_general_dilated",
    "conv_transpose",
    "convolutions_saveable",
    "effective_kernel_size",
    "enlarge_bilinear",
    "explain",
    "force_lowering",
    "output_size",
    "resize_bilinear",
    "symmetric_padding",
]
