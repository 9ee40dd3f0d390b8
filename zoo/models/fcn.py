"""FCN (Long, Shelhamer & Darrell 2014, arXiv 1411.4038) as torchvision has it: a dilated ResNet and a small head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._names import NameMap, under
from zoo.models._segmenter import BlockOutputs, Segmenter, classifier, torchvision_body
from zoo.preprocessing import Preprocessing
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1411.4038"
FCN_NAMES = {"hidden": "[0,1]", "classify": "4"}


class FCNHead(nnx.Module):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes): 3×3 with a quarter of the channels, dropout and 1×1.

    Args:
        in_channels: channels of the map.
        num_classes: size of the output.
        dropout: rate before the last convolution.
        norm: makes the normalisation.
        act: activation.
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
        dropout: float = 0.1,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.hidden = ConvNormAct(in_channels, max(1, in_channels // 4), 3, norm=norm, act=act, rngs=rngs, **dtypes)
        self.dropout = nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None)
        self.classify = classifier(max(1, in_channels // 4), num_classes, rngs=rngs, **dtypes)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.classify(self.dropout(self.hidden(x)))


class FCN(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    The paper's FCN-32s with a body that keeps its maps at stride 8 by dilation, in place of maps that are joined.

    Args:
        num_classes: size of the output; by default the 21 of Pascal VOC.
        in_channels: channels of the image.
        body: name of the classifier whose maps it reads.
        width: multiplies the channels of the body.
        auxiliary_heads: whether there is a head on the last map but one, to train with; see `logits_with_auxiliary`.
        small_images: the form for images of about 64×64, whose body has its form for 32×32.
        output_stride: of the last map, by dilation.
        dropout: rate in the heads.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or the body is no classifier that can be dilated.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        body: str = "resnet50",
        width: float = 1.0,
        auxiliary_heads: bool = False,
        small_images: bool = False,
        output_stride: int = 8,
        dropout: float = 0.1,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shared: dict[str, Any] = {"norm": norm, "act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self._init_body(
            body,
            in_channels=in_channels,
            width=width,
            small_images=small_images,
            output_stride=output_stride,
            **shared,
        )
        self.head = FCNHead(self._channels(FCN.last_map), num_classes, dropout=dropout, **shared)
        if auxiliary_heads:
            inner = self._channels(FCN.inner_map)
            self.auxiliary_heads.append(FCNHead(inner, num_classes, dropout=dropout, **shared))

    def inner_map(self, outputs: BlockOutputs) -> jax.Array:
        return [*outputs.values()][-2][-1]

    def torch_names(self) -> dict[str, NameMap]:
        layers = torchvision_body(self.body) | under("head", "classifier", FCN_NAMES)
        layers |= under("auxiliary_heads.0", "aux_classifier", FCN_NAMES)
        return {"torchvision": NameMap(layers, unused=() if self.auxiliary_heads else ("aux_classifier.",))}


# torchvision's, counted without the auxiliary head; trained on COCO with the classes of VOC.
for _name, _parameters, _macs, _mean_iou, _weights, _file in (
    ("resnet50", 32_957_013, 142.726e9, 60.5, "FCN_ResNet50", "fcn_resnet50_coco-1167a1af.pth"),
    ("resnet101", 51_949_141, 222.747e9, 63.7, "FCN_ResNet101", "fcn_resnet101_coco-7ecb50ca.pth"),
):
    register(
        f"fcn_{_name}",
        FCN,
        ModelInfo(
            _PAPER,
            520,
            parameters=_parameters,
            macs=_macs,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="COCO val2017, VOC's classes",
        ),
        weights=[TorchvisionWeights(f"{_weights}_Weights.COCO_WITH_VOC_LABELS_V1", _file, Preprocessing(520, 520))],
        body=_name,
    )
