"""The building blocks, as modules for anybody's Flax NNX model."""

from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import ConvNormAct
from zoo.blocks.drop_path import DropPath
from zoo.blocks.inverted_residual import InvertedResidual
from zoo.blocks.residual import BasicBlock, Bottleneck
from zoo.blocks.separable import DepthwiseConv, DepthwiseSeparableConv
from zoo.blocks.shuffle import ShuffleUnitV2
from zoo.blocks.squeeze_excite import SqueezeExcite

__all__ = [
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "ConvNormAct",
    "DepthwiseConv",
    "DepthwiseSeparableConv",
    "DropPath",
    "InvertedResidual",
    "ShuffleUnitV2",
    "SqueezeExcite",
]
