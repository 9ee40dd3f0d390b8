"""DeepLabv3 (Chen et al. 2017, arXiv 1706.05587): atrous spatial pyramid pooling on a dilated body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import ASPP, BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Norm
from zoo.models._names import NameMap, under
from zoo.models._segmenter import BlockOutputs, Segmenter, check_form, classifier, torchvision_body
from zoo.models.fcn import FCN_NAMES, FCNHead
from zoo.preprocessing import Preprocessing
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1706.05587"
_MOBILENET_V2_PAPER = "arXiv:1801.04381"
_CHANNELS = 256
_TORCHVISION_RATES = (12, 24, 36)
_HEAD_NAMES = {
    "aspp.pointwise": "0.convs.0.[0,1]",
    "aspp.project": "0.project.[0,1]",
    "refine": "[1,2]",
    "classify": "4",
}
_OF_PAPER = {"dilates_first": True, "multi_grid": (1, 2, 4), "deep_stem": True}
BODY_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("paper", "resnet50"): _OF_PAPER,
    ("paper", "resnet101"): _OF_PAPER,
    ("torchvision", "mobilenet_v3_large"): {"dilates_first": True},
}
_SMALL_RATES = (1, 2, 3)  # what fits in a map of 8×8


def rates_at(output_stride: int, *, small_images: bool) -> tuple[int, ...]:
    """The paper's rates, 6, 12 and 18 at stride 16 and twice that at 8 (section 3.3); few pixels in the small form."""
    return _SMALL_RATES if small_images else tuple(rate * 16 // output_stride for rate in (6, 12, 18))


class DeepLabV3Head(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes): ASPP, dropout, a 3×3 convolution if asked for, and 1×1.

    Args:
        in_channels: channels of the map.
        num_classes: size of the output.
        rates: dilation of the branches of the pyramid.
        refines: whether there is a 3×3 convolution before the last layer, as in torchvision.
        dropout: rate after the pyramid.
        norm: makes the normalisations.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        rates: Sequence[int],
        refines: bool,
        dropout: float,
        norm: Norm = BatchNorm,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.aspp = ASPP(in_channels, _CHANNELS, rates=rates, norm=norm, rngs=rngs, **dtypes)
        self.dropout = nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None)
        refine = ConvNormAct(_CHANNELS, _CHANNELS, 3, norm=norm, rngs=rngs, **dtypes) if refines else None
        self.refine = nnx.data(refine)
        self.classify = classifier(_CHANNELS, num_classes, rngs=rngs, **dtypes)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dropout(self.aspp(x))
        return self.classify(x if self.refine is None else self.refine(x))


class DeepLabV3(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    torchvision's nets differ from the paper's: the rates of the pyramid are 12, 24 and 36 at every output stride, a 3×3
    convolution comes before the last layer, and ResNets have neither a deep stem nor a multi-grid.

    Args:
        num_classes: size of the output; by default the 21 of Pascal VOC.
        in_channels: channels of the image.
        body: name of the classifier whose last map it reads.
        form: "paper" or "torchvision".
        width: multiplies the channels of the body.
        has_pyramid: whether there are the dilated branches; without them, the 1×1 convolution and the image pooling are
            left (1801.04381, table 7).
        auxiliary_heads: whether there is an `FCNHead` inside the body, to train with, as torchvision has it; see
            `logits_with_auxiliary`.
        small_images: the form for images of about 64×64: the body has its form for 32×32, the rates are 1, 2 and 3.
        output_stride: of the last map, by dilation.
        dropout: rate after the pyramid.
        norm: makes the normalisations; None for the body's own in the body, and for batch norm in the heads.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, if there is no such form, or if the body cannot be dilated.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        body: str = "resnet50",
        form: str = "torchvision",
        width: float = 1.0,
        has_pyramid: bool = True,
        auxiliary_heads: bool = False,
        small_images: bool = False,
        output_stride: int = 8,
        dropout: float = 0.5,
        norm: Norm | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        check_form(form)
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self._init_body(
            body,
            in_channels=in_channels,
            width=width,
            small_images=small_images,
            output_stride=output_stride,
            norm=norm,
            rngs=rngs,
            **dtypes,
            **BODY_OPTIONS.get((form, body), {}),
        )
        rates = rates_at(output_stride, small_images=small_images)
        if form == "torchvision" and not small_images:
            rates = _TORCHVISION_RATES
        norm = norm or BatchNorm
        self.head = DeepLabV3Head(
            self._channels(DeepLabV3.last_map),
            num_classes,
            rates=rates if has_pyramid else (),
            refines=form == "torchvision",
            dropout=dropout,
            norm=norm,
            rngs=rngs,
            **dtypes,
        )
        if auxiliary_heads:
            inner = self._channels(DeepLabV3.inner_map)
            self.auxiliary_heads.append(FCNHead(inner, num_classes, norm=norm, rngs=rngs, **dtypes))

    def inner_map(self, outputs: BlockOutputs) -> jax.Array:
        """The last map but one; in a body of inverted residuals the first at half of the stride, as in torchvision."""
        if not self.body.last_is_dense:
            return [*outputs.values()][-2][-1]
        *_, stride = self.feature_strides.values()
        return self.map_at(outputs, stride // 2, first=True)

    def torch_names(self) -> dict[str, NameMap]:
        if self.head.refine is None:
            return {}  # torchvision has not the paper's form
        layers = torchvision_body(self.body) | under("head", "classifier", _HEAD_NAMES)
        for number in range(len(self.head.aspp.pyramid)):
            layers[f"head.aspp.pyramid.{number}"] = f"classifier.0.convs.{number + 1}.[0,1]"
        layers["head.aspp.image"] = f"classifier.0.convs.{len(self.head.aspp.pyramid) + 1}.[1,2]"
        layers |= under("auxiliary_heads.0", "aux_classifier", FCN_NAMES)
        unused = () if self.auxiliary_heads else ("aux_classifier.",)
        return {"torchvision": NameMap(layers, unused=unused, epsilon=None)}


# torchvision's, counted without the auxiliary head; trained on COCO with the classes of VOC.
for _body, _stride, _parameters, _macs, _mean_iou, _weights, _file in (
    ("resnet50", 8, 39_638_869, 168.731e9, 66.4, "ResNet50", "resnet50_coco-cd0a2569.pth"),
    ("resnet101", 8, 58_630_997, 248.752e9, 67.4, "ResNet101", "resnet101_coco-586e9e4e.pth"),
    ("mobilenet_v3_large", 16, 11_025_477, 10.436e9, 60.3, "MobileNet_V3_Large", "mobilenet_v3_large-fc3c493d.pth"),
):
    _enum = f"DeepLabV3_{_weights}_Weights.COCO_WITH_VOC_LABELS_V1"
    register(
        f"deeplab_v3_{_body}",
        DeepLabV3,
        ModelInfo(
            _PAPER,
            520,
            parameters=_parameters,
            macs=_macs,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="COCO val2017, VOC's classes",
        ),
        weights=[TorchvisionWeights(_enum, f"deeplabv3_{_file}", Preprocessing(520, 520))],
        body=_body,
        output_stride=_stride,
    )

# The papers' figures, with parameters as counted. The ResNet of the authors has its strides in the last blocks of the
# stages instead of the first, which takes 3.6 % more MACs. Of the pyramid on MobileNetV2, whose MACs the paper gives as
# 5.8 billion, this project finds 5.36.
for _name, _body, _paper, _has_pyramid, _parameters, _macs, _mean_iou, _tolerance in (
    ("deeplab_v3_resnet101_paper", "resnet101", _PAPER, True, 58_164_437, 81.02e9, 77.21, 0.036),
    ("deeplab_v3_mobilenet_v2", "mobilenet_v2", _MOBILENET_V2_PAPER, False, 2_113_557, 2.75e9, 75.32, 0.01),
    ("deeplab_v3_mobilenet_v2_aspp", "mobilenet_v2", _MOBILENET_V2_PAPER, True, 4_523_541, 5.8e9, 75.70, 0.08),
):
    register(
        _name,
        DeepLabV3,
        ModelInfo(
            _paper,
            513,
            parameters=_parameters,
            macs=_macs,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="VOC 2012 val",
            macs_tolerance=_tolerance,
        ),
        body=_body,
        form="paper",
        has_pyramid=_has_pyramid,
        output_stride=16,
    )
