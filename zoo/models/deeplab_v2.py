"""DeepLab v1 (Chen et al. 2014, arXiv 1412.7062) and v2 (2016, arXiv 1606.00915): branches of dilated convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm
from zoo.blocks.conv_norm_act import Norm
from zoo.models._pooling import max_pool
from zoo.models._rematerialise import run
from zoo.models._segmenter import BlockOutputs, Segmenter, classifier
from zoo.models._vgg_head import VGGHead
from zoo.models._width import scale_channels
from zoo.ops import enlarge_bilinear
from zoo.registry import ModelInfo, register

_V1_PAPER = "arXiv:1412.7062"
_V2_PAPER = "arXiv:1606.00915"
_RATES = (6, 12, 18, 24)
_HIDDEN_CHANNELS = 1024


class Branches(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes): the sum over branches that differ in their dilation.

    Args:
        branches: each of them makes logits.
    """

    def __init__(self, branches: Sequence[nnx.Module]) -> None:
        self.branches = nnx.List(branches)

    def __call__(self, x: jax.Array) -> jax.Array:
        return sum(branch(x) for branch in self.branches)


class DeepLabV2(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    Each branch has a 3×3 convolution with a dilation of its own. On VGG-16 it is fc6, with fc7 and the layer of the
    classes after it, and all poolings are 3×3; on a ResNet it is the layer of the classes
    itself. With one branch it is LargeFOV, before which the authors average 3×3 pixels of VGG-16's map.

    Scores are enlarged as the authors do, with pixels as points. Their nets also see the image at two smaller scales
    and take the largest scores, which is left to whoever runs this one; so is the CRF, `zoo.crf`. The authors' ResNet
    strides in the 1×1 convolutions, this one in the 3×3 ones.

    Args:
        num_classes: size of the output; by default the 21 of Pascal VOC.
        in_channels: channels of the image.
        body: "vgg16", or the name of a ResNet.
        rates: dilation of each branch; None for 6, 12, 18 and 24.
        width: multiplies the channels of the body, and of fc6 and fc7.
        small_images: the form for images of about 64×64: the body has its form for 32×32, and the rates are a sixth of
            what they are at stride 8, a third at 4.
        output_stride: of the last map, by dilation.
        dropout: rate after fc6 and fc7, on VGG-16.
        norm: makes the normalisations; None for the body's own in the body, and of fc6 and fc7 for none, or for batch
            norm in the form for small images.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, if there are no rates, or if the body cannot be dilated.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        body: str = "vgg16",
        rates: tuple[int, ...] | None = None,
        width: float = 1.0,
        small_images: bool = False,
        output_stride: int = 8,
        dropout: float = 0.5,
        norm: Norm | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        rates = _RATES if rates is None else rates
        if not rates:
            raise ValueError(f"rates={rates} must have at least one")
        if small_images:
            rates = tuple(max(1, rate * 8 // (6 * output_stride)) for rate in rates)
        self.is_vgg = body == "vgg16"
        of_body: dict[str, Any] = {"pool_size": 3} if self.is_vgg else {"dilates_first": True}
        self._init_body(
            body,
            in_channels=in_channels,
            width=width,
            small_images=small_images,
            output_stride=output_stride,
            norm=norm,
            **of_body,
            **dtypes,
        )
        channels = self._channels(DeepLabV2.last_map)

        def branch(rate: int) -> nnx.Module:
            if not self.is_vgg:
                return classifier(channels, num_classes, 3, dilation=rate, **dtypes)
            return VGGHead(
                channels,
                num_classes,
                hidden_channels=scale_channels(_HIDDEN_CHANNELS, width),
                kernel_size=3,
                dilation=rate,
                dropout=dropout,
                norm=BatchNorm if small_images and norm is None else norm,
                **dtypes,
            )

        self.head = Branches([branch(rate) for rate in rates])

    def scores(self, outputs: BlockOutputs) -> jax.Array:
        x = self.last_map(outputs)
        if self.is_vgg:
            x = max_pool(x, stride=1)
            if len(self.head.branches) == 1:
                x = nnx.avg_pool(x, (3, 3), padding=((1, 1), (1, 1)))
        return run(self.head, x)

    def upsample(self, logits: jax.Array, size: Sequence[int]) -> jax.Array:
        *_, stride = self.feature_strides.values()
        return enlarge_bilinear(logits, stride, size)

    def layers_of_classes(self) -> tuple[str, ...]:
        of_branch = ".classify" if self.is_vgg else ""
        return tuple(f"head.branches.{number}{of_branch}" for number in range(len(self.head.branches)))


# The papers' figures before the CRF, with parameters as counted. Those of ResNet-101, 76.35 %, are of three scales.
for _name, _paper, _body, _rates, _parameters, _mean_iou in (
    ("deeplab_v1_largefov_vgg16", _V1_PAPER, "vgg16", (12,), 20_505_429, 62.25),
    ("deeplab_v2_vgg16", _V2_PAPER, "vgg16", _RATES, 37_877_652, 68.96),
    ("deeplab_v2_resnet101", _V2_PAPER, "resnet101", _RATES, 44_048_532, None),
):
    register(
        _name,
        DeepLabV2,
        ModelInfo(
            _paper,
            321,
            parameters=_parameters,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="VOC 2012 val" if _mean_iou else None,
        ),
        body=_body,
        rates=_rates,
    )
