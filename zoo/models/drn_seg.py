"""DRN for dense prediction (Yu, Koltun & Funkhouser 2017, arXiv 1705.09914, section 5): a DRN with one layer more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.typing import Dtype
from jax import lax

from zoo.blocks import BatchNorm
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._names import NameMap
from zoo.models._segmenter import Segmenter, classifier
from zoo.ops import resize_bilinear
from zoo.preprocessing import Preprocessing
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1705.09914"
# Of Cityscapes, as the authors have measured them.
_MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)
_DEVIATION = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)


class DRNSeg(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    The head is a biased 1×1 convolution. The authors enlarge its scores by a transposed convolution with fixed bilinear
    weights, which sees zeros beyond the border of the map: there it differs from other bilinear interpolation.

    Args:
        num_classes: size of the output; by default the 19 of Cityscapes.
        in_channels: channels of the image.
        body: name of the DRN whose last map it reads, of form C or D.
        width: multiplies the channels of the body.
        small_images: the form for images of about 64×64, whose body has its form for 32×32.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or the body is no classifier that is a chain of stages.
    """

    def __init__(
        self,
        num_classes: int = 19,
        in_channels: int = 3,
        *,
        body: str = "drn_d_22",
        width: float = 1.0,
        small_images: bool = False,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self._init_body(
            body, in_channels=in_channels, width=width, small_images=small_images, norm=norm, act=act, **dtypes
        )
        self.head = classifier(self._channels(DRNSeg.last_map), num_classes, **dtypes)

    def upsample(self, logits: jax.Array, size: Sequence[int]) -> jax.Array:
        """(N, h, w, num_classes) -> (N, *size, num_classes): interpolated among zeros around the map."""
        *_, stride = self.feature_strides.values()
        among_zeros = jnp.pad(logits, ((0, 0), (1, 1), (1, 1), (0, 0)))
        enlarged = resize_bilinear(among_zeros, [stride * length for length in among_zeros.shape[1:3]])
        for axis, length in zip((1, 2), size, strict=True):
            enlarged = lax.slice_in_dim(enlarged, stride, stride + length, axis=axis)
        return enlarged

    def layers_of_classes(self) -> tuple[str, ...]:
        return ("head",)

    def torch_names(self) -> dict[str, NameMap]:
        body: Any = self.body
        of_body = body.torch_names().get("fyu/drn")
        if of_body is None:
            return {}

        def inside(theirs: str) -> str:
            """The name inside of a sequence of the body's parts, of which form C has three before `layer1`."""
            part, _, rest = theirs.partition(".")
            if not part.startswith("layer"):
                return "base.[0,1]"
            return f"base.{int(part.removeprefix('layer')) + (2 if body.form == 'C' else 0)}.{rest}"

        layers = {f"body.{ours}": inside(theirs) for ours, theirs in of_body.layers.items() if ours != "head"}
        *_, stride = self.feature_strides.values()
        taps = 1 - np.abs(np.arange(2 * stride) + 0.5 - stride) / stride
        kernels = np.broadcast_to(np.outer(taps, taps), (self.num_classes, 1, 2 * stride, 2 * stride))
        return {
            "fyu/drn": NameMap(
                layers | {"head": "seg"},
                fixed={"up.weight": np.ascontiguousarray(kernels, np.float32)},
                unused=tuple(inside(name) for name in of_body.unused),
            )
        }


# The authors' accuracies, on whole images; parameters as counted, without the fixed weights that enlarge the scores.
for _body, _crop, _parameters, _mean_iou in (
    ("drn_c_26", 896, 20_623_331, 68.0),
    ("drn_d_22", 896, 15_890_499, 68.0),
    ("drn_d_38", 896, 25_998_659, 71.4),
    ("drn_d_105", 840, 54_298_051, 75.6),
):
    register(
        f"{_body}_seg",
        DRNSeg,
        ModelInfo(
            _PAPER,
            _crop,
            parameters=_parameters,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of="Cityscapes val",
            own_preprocessing=Preprocessing(_crop, _crop, mean=_MEAN, std=_DEVIATION),
        ),
        body=_body,
    )
