"""MnasNet (Tan et al. 2018, arXiv 1807.11626): inverted residuals found by a search over kernels and widths."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct, InvertedResidual, SqueezeExcite
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._names import NameMap, blocks, numbered, timm_inverted_residuals, under
from zoo.models._stages import build_stages, split_where_striding
from zoo.models._strides import StridePlan
from zoo.models._width import scale_channels
from zoo.preprocessing import Preprocessing
from zoo.published import TimmWeights, TorchvisionWeights
from zoo.registry import ModelInfo, register


class _Row(NamedTuple):
    expansion_ratio: int
    channels: int
    blocks: int
    stride: int
    kernel_size: int
    squeezes: bool = False


_A1 = (  # figure 7 of the paper; the first block is a separable convolution
    _Row(1, 16, 1, 1, 3),
    _Row(6, 24, 2, 2, 3),
    _Row(3, 40, 3, 2, 5, squeezes=True),
    _Row(6, 80, 4, 2, 3),
    _Row(6, 112, 2, 1, 3, squeezes=True),
    _Row(6, 160, 3, 2, 5, squeezes=True),
    _Row(6, 320, 1, 1, 3),
)
_B1 = (  # the search without squeeze-and-excitation, as in the authors' and torchvision's code
    _Row(1, 16, 1, 1, 3),
    _Row(3, 24, 3, 2, 3),
    _Row(3, 40, 3, 2, 5),
    _Row(6, 80, 3, 2, 5),
    _Row(6, 96, 2, 1, 3),
    _Row(6, 192, 4, 2, 5),
    _Row(6, 320, 1, 1, 3),
)
_STEM_CHANNELS, _NUM_FEATURES = 32, 1280
_SQUEEZE_RATIO = 0.25  # of the channels of the block's input
_PAPER = "arXiv:1807.11626"


class MnasNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        width: multiplies the channels of all layers but the last.
        squeezes: whether it is A1, with squeeze-and-excitation in some blocks, or else B1.
        small_images: the 32×32 form, without the first two strides: the last map is 4×4 at 32×32.
        output_stride: limits the stride of the maps by dilation; None for the whole 32 (8 in the 32×32 form).
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
        squeezes: bool = False,
        small_images: bool = False,
        output_stride: int | None = None,
        dropout: float = 0.2,
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.squeezes = squeezes
        plan = StridePlan(output_stride)
        first_stride, _ = plan.next(1 if small_images else 2)
        channels = scale_channels(_STEM_CHANNELS, width)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=first_stride, **shared)

        def block(row: _Row, in_channels: int, out_channels: int, **options: Any) -> InvertedResidual:
            squeeze_channels = round(_SQUEEZE_RATIO * in_channels)
            return InvertedResidual(
                in_channels,
                out_channels,
                row.kernel_size,
                expansion_ratio=row.expansion_ratio,
                squeeze_excite=partial(SqueezeExcite, squeeze_channels=squeeze_channels) if row.squeezes else None,
                **options,
                **shared,
            )

        stages, strides, channels = build_stages(
            split_where_striding(_A1 if squeezes else _B1),
            channels,
            plan,
            block,
            scale=partial(scale_channels, width=width),
            drop_path=drop_path,
            small_images=small_images,
        )
        self._init_stages(stages, strides)
        self.last = ConvNormAct(channels, _NUM_FEATURES, 1, **shared)
        self._init_head(_NUM_FEATURES, num_classes, dropout=dropout, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def torch_names(self) -> dict[str, NameMap]:
        rows = _A1 if self.squeezes else _B1
        timm = timm_inverted_residuals(self.stages, [row.blocks for row in rows]) | {"last": "[conv_head,bn2]"}
        if self.squeezes:  # which torchvision lacks
            return {"timm": NameMap(timm)}
        torchvision = {
            "stem": "layers.[0,1]",
            "stages.0.0.depthwise": "layers.[3,4]",
            "stages.0.0.project": "layers.[6,7]",
            "last": "layers.[14,15]",
            "head": "classifier.1",
        }
        _, *others = blocks(self.stages)
        theirs = numbered("layers.{}.{}.layers", [row.blocks for row in _B1[1:]], first=8)
        for (path, _), name in zip(others, theirs, strict=True):
            torchvision |= under(path, name, {"expand": "[0,1]", "depthwise": "[3,4]", "project": "[6,7]"})
        return {"torchvision": NameMap(torchvision), "timm": NameMap(timm)}


# Parameters as PyTorch counts them. Accuracies of 1.0 are the paper's, of the other widths those of torchvision's
# weights; MACs of 1.0 are torchvision's and imgclsmob's.
register(
    "mnasnet_a1",
    MnasNet,
    ModelInfo(_PAPER, 224, parameters=3_887_038, macs=312e6, top1=75.2),
    weights=[TimmWeights("semnasnet_100")],
    squeezes=True,
)
_LATER = Preprocessing(224, 232)  # of the weights that torchvision trained by its newer recipe
for _name, _width, _parameters, _macs, _top1, _weights in (
    (
        "mnasnet_b1",
        1.0,
        4_383_312,
        314e6,
        73.5,
        (
            TorchvisionWeights("MNASNet1_0_Weights.IMAGENET1K_V1", "mnasnet1.0_top1_73.512-f206786ef8.pth"),
            TimmWeights("mnasnet_100"),
        ),
    ),
    (
        "mnasnet_b1_x0_5",
        0.5,
        2_218_512,
        None,
        67.7,
        (
            TorchvisionWeights("MNASNet0_5_Weights.IMAGENET1K_V1", "mnasnet0.5_top1_67.823-3ffadce67e.pth"),
            TimmWeights("mnasnet_050"),
        ),
    ),
    (
        "mnasnet_b1_x0_75",
        0.75,
        3_170_208,
        None,
        71.2,
        (
            TorchvisionWeights("MNASNet0_75_Weights.IMAGENET1K_V1", "mnasnet0_75-7090bc5f.pth", _LATER),
            TimmWeights("mnasnet_075"),
        ),
    ),
    (
        "mnasnet_b1_x1_3",
        1.3,
        6_282_256,
        None,
        76.5,
        (TorchvisionWeights("MNASNet1_3_Weights.IMAGENET1K_V1", "mnasnet1_3-a4c69d6f.pth", _LATER),),
    ),
):
    register(
        _name,
        MnasNet,
        ModelInfo(_PAPER, 224, parameters=_parameters, macs=_macs, top1=_top1),
        weights=_weights,
        width=_width,
    )
