"""LR-ASPP (Howard et al. 2019, arXiv 1905.02244, section 6.4): MobileNetV3 for dense prediction, with a light head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, Conv, ConvNormAct
from zoo.blocks.conv_norm_act import Norm
from zoo.models._names import NameMap, under
from zoo.models._rematerialise import run
from zoo.models._segmenter import BlockOutputs, Segmenter, check_form, classifier, torchvision_body
from zoo.ops import resize_bilinear
from zoo.preprocessing import Preprocessing
from zoo.published import TorchvisionWeights
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1905.02244"
_CHANNELS = 128
_POOLING, _POOLING_STRIDES = (49, 49), (16, 20)  # of the paper, for images of 1024×2048
_NAMES = {
    "pointwise": "cbr.[0,1]",
    "gate": "scale.1",
    "classify_low": "low_classifier",
    "classify_high": "high_classifier",
}


class LRASPPHead(nnx.Module):
    """A fine and a coarse map -> logits (N, H, W, num_classes) at the size of the fine one (figure 10).

    Args:
        low_channels: channels of the fine map.
        high_channels: channels of the coarse map.
        num_classes: size of the output.
        pools_globally: whether the gate averages the whole coarse map, as in torchvision, instead of 49×49 pixels at
            strides 16 and 20, as in the paper; a map smaller than that is averaged as a whole along that axis.
        norm: makes the normalisation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        num_classes: int,
        *,
        pools_globally: bool,
        norm: Norm = BatchNorm,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.pools_globally = pools_globally
        self.pointwise = ConvNormAct(high_channels, _CHANNELS, 1, norm=norm, **dtypes)
        self.gate = Conv(high_channels, _CHANNELS, 1, use_bias=False, **dtypes)
        self.classify_low = classifier(low_channels, num_classes, **dtypes)
        self.classify_high = classifier(_CHANNELS, num_classes, **dtypes)

    def __call__(self, low: jax.Array, high: jax.Array) -> jax.Array:
        gate = jax.nn.sigmoid(self.gate(self._pool(high)))
        gated = self.pointwise(high) * resize_bilinear(gate, high.shape[1:3])
        return self.classify_low(low) + self.classify_high(resize_bilinear(gated, low.shape[1:3]))

    def _pool(self, x: jax.Array) -> jax.Array:
        if self.pools_globally:
            return x.mean((1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
        window = tuple(min(size, length) for size, length in zip(_POOLING, x.shape[1:3], strict=True))
        return nnx.avg_pool(x.astype(jnp.float32), window, _POOLING_STRIDES).astype(x.dtype)


class LRASPP(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    The head reads the last map and one of half its stride.

    Args:
        num_classes: size of the output.
        in_channels: channels of the image.
        body: name of the classifier whose maps it reads.
        form: "paper", whose last stage is half as wide, whose gate averages windows and which reads the last map of the
            finer stride; or "torchvision", with the whole last stage, one average, the first map of the finer stride,
            and a dilation that begins a block earlier.
        width: multiplies the channels of the body.
        small_images: the form for images of about 64×64, whose body has its form for 32×32.
        output_stride: of the last map, by dilation.
        norm: makes the normalisations; None for the body's own in the body, and for batch norm in the head.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, if there is no such form, or if the body is no MobileNetV3.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        body: str = "mobilenet_v3_large",
        form: str = "torchvision",
        width: float = 1.0,
        small_images: bool = False,
        output_stride: int = 16,
        norm: Norm | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        check_form(form)
        self.form = form
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self._init_body(
            body,
            in_channels=in_channels,
            width=width,
            small_images=small_images,
            output_stride=output_stride,
            dilates_first=form == "torchvision",
            reduced_tail=form == "paper",
            norm=norm,
            rngs=rngs,
            **dtypes,
        )
        self.head = LRASPPHead(
            self._channels(LRASPP.low_map),
            self._channels(LRASPP.last_map),
            num_classes,
            pools_globally=form == "torchvision",
            norm=norm or BatchNorm,
            rngs=rngs,
            **dtypes,
        )

    def low_map(self, outputs: BlockOutputs) -> jax.Array:
        """The finer map that the head reads."""
        *_, stride = self.feature_strides.values()
        return self.map_at(outputs, stride // 2, first=self.form == "torchvision")

    def scores(self, outputs: BlockOutputs) -> jax.Array:
        return run(self.head, self.low_map(outputs), self.last_map(outputs))

    def layers_of_classes(self) -> tuple[str, ...]:
        return "head.classify_low", "head.classify_high"

    def torch_names(self) -> dict[str, NameMap]:
        if self.form == "paper":
            return {}
        layers = torchvision_body(self.body) | under("head", "classifier", _NAMES)
        return {"torchvision": NameMap(layers, epsilon=None)}


register(  # torchvision's; trained on COCO with the classes of VOC
    "lraspp_mobilenet_v3_large",
    LRASPP,
    ModelInfo(
        _PAPER,
        520,
        parameters=3_221_538,
        macs=2.086e9,
        task="segmentation",
        mean_iou=57.9,
        mean_iou_of="COCO val2017, VOC's classes",
    ),
    weights=[
        TorchvisionWeights(
            "LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1",
            "lraspp_mobilenet_v3_large-d234d4ea.pth",
            Preprocessing(520, 520),
        )
    ],
)

# The paper's, for Cityscapes, with parameters as counted.
for _size, _parameters, _mean_iou in (("large", 1_505_550, 72.36), ("small", 467_486, 68.38)):
    register(
        f"lraspp_mobilenet_v3_{_size}_paper",
        LRASPP,
        ModelInfo(
            _PAPER,
            1024,
            parameters=_parameters,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="Cityscapes val, 1024x2048",
        ),
        num_classes=19,
        body=f"mobilenet_v3_{_size}",
        form="paper",
    )
