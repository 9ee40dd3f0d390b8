"""The building blocks, as modules for anybody's Flax NNX model."""

import zoo.blocks.pickling  # noqa: F401 - for all who import a block
from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.context import ASPP, ContextModule
from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.drop_path import DropPath
from zoo.blocks.factorized_inception import (
    AsymmetricGridReduction,
    AsymmetricInception,
    ExpandedInception,
    FactorizedInception,
    GridReduction,
)
from zoo.blocks.flattened import FlattenedConv
from zoo.blocks.grouped import GroupedConv, ShuffledGroupedConv
from zoo.blocks.inception import ExtremeInception, InceptionModule, NaiveInceptionModule
from zoo.blocks.initializers import he_normal
from zoo.blocks.inverted_residual import InvertedResidual
from zoo.blocks.pointwise import PointwiseConv
from zoo.blocks.residual import BasicBlock, Bottleneck
from zoo.blocks.resnext import ResNeXtBlock
from zoo.blocks.separable import DepthwiseConv, DepthwiseSeparableConv
from zoo.blocks.shuffle import ShuffleUnitV1, ShuffleUnitV2
from zoo.blocks.spatially_separable import SpatiallySeparableConv
from zoo.blocks.squeeze_excite import SqueezeExcite
from zoo.blocks.transposed import ConvTranspose, ResizeConv
from zoo.blocks.universal_inverted_bottleneck import FusedInvertedBottleneck, UniversalInvertedBottleneck

__all__ = [
    "ASPP",
    "Activation",
    "AsymmetricGridReduction",
    "AsymmetricInception",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "ContextModule",
    "Conv",
    "ConvNormAct",
    "ConvTranspose",
    "DepthwiseConv",
    "DepthwiseSeparableConv",
    "DropPath",
    "ExpandedInception",
    "ExtremeInception",
    "FactorizedInception",
    "FlattenedConv",
    "FusedInvertedBottleneck",
    "GridReduction",
    "GroupedConv",
    "InceptionModule",
    "InvertedResidual",
    "NaiveInceptionModule",
    "Norm",
    "PointwiseConv",
    "ResNeXtBlock",
    "ResizeConv",
    "ShuffleUnitV1",
    "ShuffleUnitV2",
    "ShuffledGroupedConv",
    "SpatiallySeparableConv",
    "SqueezeExcite",
    "UniversalInvertedBottleneck",
    "he_normal",
]
