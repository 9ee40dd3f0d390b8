"""ResNet (He et al. 2015, arXiv 1512.03385) and ResNeXt (Xie et al. 2016, arXiv 1611.05431) in their ImageNet form."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BasicBlock, BatchNorm, Bottleneck, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, under
from zoo.models._pooling import max_pool
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import round_channels
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1512.03385"
_RESNEXT_PAPER = "arXiv:1611.05431"
RESIDUAL_NAMES = {  # the layers of a basic block and of a bottleneck in torchvision -> ours
    "conv1": "[conv1,bn1]",
    "conv2": "[conv2,bn2]",
    "reduce": "[conv1,bn1]",
    "filter": "[conv2,bn2]",
    "expand": "[conv3,bn3]",
    "shortcut": "downsample.[0,1]",
}


class _Row(NamedTuple):
    channels: int
    blocks: int
    stride: int
    hidden_channels: int  # of bottlenecks


class ResNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers.
        depths: blocks in each of the four stages.
        bottleneck: blocks of three convolutions instead of two.
        cardinality: groups of the 3×3 convolutions of bottlenecks.
        group_width: channels of one such group in the first stage.
        small_images: the 32×32 form, with a 3×3 stem and no pooling: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
        dilates_first: whether the first block of a stage that is dilated in place of its stride is dilated itself, as
            in TensorFlow's nets, which stride in the last block of the stage before; torchvision leaves it undilated.
        multi_grid: multiplies the dilation of each block of the last stage (1706.05587, section 3.2.1); None for 1.
        deep_stem: three 3×3 convolutions in the place of the 7×7 one, the last with twice its channels, as in the
            code of DeepLabv3's authors; the 32×32 form has one 3×3 convolution anyhow.
        dropout: rate before the head.
        drop_path: rate at the last block; it grows linearly from 0 at the first.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        depths: tuple[int, int, int, int] = (2, 2, 2, 2),
        bottleneck: bool = False,
        cardinality: int = 1,
        group_width: int = 64,
        small_images: bool = False,
        output_stride: int | None = None,
        dilates_first: bool = False,
        multi_grid: tuple[int, ...] | None = None,
        deep_stem: bool = False,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if multi_grid is not None and len(multi_grid) != depths[-1]:
            raise ValueError(
                f"multi_grid={multi_grid} must have a number for each of the last stage's {depths[-1]} blocks"
            )
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        plan = StridePlan(output_stride, dilates_first)
        channels = round_channels(64, width)
        if small_images:
            self.stem = ConvNormAct(in_channels, channels, 3, **shared)
        elif deep_stem:
            first = ConvNormAct(in_channels, channels, 3, stride=plan.next(2)[0], **shared)
            others = (ConvNormAct(channels, factor * channels, 3, **shared) for factor in (1, 2))
            self.stem = nnx.Sequential(first, *others, partial(max_pool, stride=plan.next(2)[0]))
            channels *= 2
        else:
            stem = ConvNormAct(in_channels, channels, 7, stride=plan.next(2)[0], **shared)
            self.stem = nnx.Sequential(stem, partial(max_pool, stride=plan.next(2)[0]))

        rows = [
            _Row(
                (4 if bottleneck else 1) * round_channels(64 * 2**number, width),
                depth,
                stride=1 if number == 0 else 2,
                hidden_channels=cardinality * round_channels(group_width * 2**number, width),
            )
            for number, depth in enumerate(depths)
        ]

        grid = iter(multi_grid or ())

        def block(row: _Row, in_channels: int, out_channels: int, *, dilation: int, **options: Any) -> nnx.Module:
            factor = next(grid) if multi_grid and row is rows[-1] else 1
            options |= {"dilation": factor * dilation} | shared
            if bottleneck:
                return Bottleneck(in_channels, out_channels, row.hidden_channels, groups=cardinality, **options)
            return BasicBlock(in_channels, out_channels, second_dilation=factor * plan.dilation, **options)

        stages, strides, channels = build_stages(split_where_striding(rows), channels, plan, block, drop_path=drop_path)
        self._init_stages(stages, strides)
        self._init_head(channels, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        if isinstance(self.stem, nnx.Sequential) and len(self.stem.layers) > 2:
            return {}  # neither library has its deep stem
        layers = {"stem": "[conv1,bn1]", "stem.layers.0": "[conv1,bn1]", "head": "fc"}
        theirs = numbered("layer{}.{}", map(len, self.stages), first=1)
        for (path, _), name in zip(blocks(self.stages), theirs, strict=True):
            layers |= under(path, name, RESIDUAL_NAMES)
        return {"torchvision": NameMap(layers), "timm": NameMap(layers)}


# ResNet's parameters, MACs and accuracies are torchvision's; ResNeXt's accuracies are the paper's but for 32x8d.
_LATER = Preprocessing(224, 232)  # of the weights that torchvision trained by its newer recipe
register(
    "resnet18",
    ResNet,
    ModelInfo(_PAPER, 224, parameters=11_689_512, macs=1.814e9, top1=69.8),
    weights=(TorchvisionWeights("ResNet18_Weights.IMAGENET1K_V1", "resnet18-f37072fd.pth"), TimmWeights("resnet18")),
)
register(
    "resnet50",
    ResNet,
    ModelInfo(_PAPER, 224, parameters=25_557_032, macs=4.089e9, top1=76.1),
    weights=(
        TorchvisionWeights("ResNet50_Weights.IMAGENET1K_V1", "resnet50-0676ba61.pth"),
        TorchvisionWeights("ResNet50_Weights.IMAGENET1K_V2", "resnet50-11ad3fa6.pth", _LATER),
        TimmWeights("resnet50"),
    ),
    depths=(3, 4, 6, 3),
    bottleneck=True,
)
register(
    "resnet101",
    ResNet,
    ModelInfo(_PAPER, 224, parameters=44_549_160, macs=7.801e9, top1=77.4),
    weights=(
        TorchvisionWeights("ResNet101_Weights.IMAGENET1K_V1", "resnet101-63fe2227.pth"),
        TorchvisionWeights("ResNet101_Weights.IMAGENET1K_V2", "resnet101-cd907fc2.pth", _LATER),
        TimmWeights("resnet101"),
    ),
    depths=(3, 4, 23, 3),
    bottleneck=True,
)
_RESNEXT_WEIGHTS = {
    "resnext50_32x4d": (
        TorchvisionWeights("ResNeXt50_32X4D_Weights.IMAGENET1K_V1", "resnext50_32x4d-7cdf4587.pth"),
        TorchvisionWeights("ResNeXt50_32X4D_Weights.IMAGENET1K_V2", "resnext50_32x4d-1a0047aa.pth", _LATER),
    ),
    "resnext101_32x8d": (
        TorchvisionWeights("ResNeXt101_32X8D_Weights.IMAGENET1K_V1", "resnext101_32x8d-8ba56ff5.pth"),
        TorchvisionWeights("ResNeXt101_32X8D_Weights.IMAGENET1K_V2", "resnext101_32x8d-110c445d.pth", _LATER),
    ),
    "resnext101_64x4d": (
        TorchvisionWeights("ResNeXt101_64X4D_Weights.IMAGENET1K_V1", "resnext101_64x4d-173b62eb.pth", _LATER),
    ),
}
for _name, _depths, _cardinality, _group_width, _parameters, _macs, _top1 in (
    ("resnext50_32x4d", (3, 4, 6, 3), 32, 4, 25_028_904, 4.23e9, 77.8),
    ("resnext101_32x4d", (3, 4, 23, 3), 32, 4, 44_177_704, 8.003e9, 78.8),
    ("resnext101_32x8d", (3, 4, 23, 3), 32, 8, 88_791_336, 16.414e9, 79.3),
    ("resnext101_64x4d", (3, 4, 23, 3), 64, 4, 83_455_272, 15.5e9, 79.6),
):
    register(
        _name,
        ResNet,
        ModelInfo(_RESNEXT_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        weights=(*_RESNEXT_WEIGHTS.get(_name, ()), TimmWeights(_name)),
        depths=_depths,
        bottleneck=True,
        cardinality=_cardinality,
        group_width=_group_width,
    )
