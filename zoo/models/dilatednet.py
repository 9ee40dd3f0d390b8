"""DilatedNet (Yu & Koltun 2015, arXiv 1511.07122): VGG-16 made dense by dilation, and a context module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ConvNormAct
from zoo.blocks.context import ContextModule
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._classifier import ImageClassifier
from zoo.models._pooling import global_average_pool
from zoo.models._rematerialise import run
from zoo.models._width import scale_channels
from zoo.models.vgg import vgg16_stages, vgg_stages
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1511.07122"


class DilatedNet(ImageClassifier):
    """(N, H, W, in_channels) -> logits (N, num_classes), float32; `dense_logits` gives them for every pixel.

    The front end is VGG-16 without its last two poolings, so that its maps stop at stride 8; conv5 is dilated by 2
    and fc6, which is a 7×7 convolution here, by 4, for the strides that are gone (section 4). The head makes a map of
    scores of it, which the context module refines. An image is classified by the average of that map.

    The maps keep their size by zero padding, whereas the paper reflects the image at its border and lets maps shrink.

    Args:
        num_classes: size of the output; by default the 21 of Pascal VOC.
        in_channels: channels of the image.
        context: "basic" or "large" for the context module of that form, or None for the front end alone. Its
            parameters grow with the square of `num_classes`: 64 times in the basic form.
        width: multiplies the channels of the front end.
        small_images: the 32×32 form: the last map is 4×4 at 32×32 with the strides as they are, so only fc6 and
            fc7 change. They have 512 channels, and fc6 is 3×3 with dilation 2: at 4 all but its middle tap would
            see nothing but padding.
        dropout: rate after fc6 and fc7.
        norm: makes normalisations of the front end; None for none, as in the paper, which starts from trained weights,
            or for batch norm in the 32×32 form, which does not learn from scratch without it.
        act: activation of the front end.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, or if there is no context module of that form.
    """

    last: nnx.Sequential

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        context: str | None = "basic",
        width: float = 1.0,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        norm = BatchNorm if small_images and norm is None else norm
        unit: Callable[..., ConvNormAct] = partial(ConvNormAct, norm=norm, act=act, rngs=rngs, **dtypes)
        *rows, conv5 = vgg16_stages(width)
        rows.append(conv5._replace(pools=False, dilation=2))
        self.stem = unit(in_channels, rows[0].channels, 3)
        self._init_stages(*vgg_stages(rows, rows[0].channels, unit))
        num_features, kernel_size, dilation = (512, 3, 2) if small_images else (4096, 7, 4)
        num_features = scale_channels(num_features, width)
        self.last = nnx.Sequential(
            unit(conv5.channels, num_features, kernel_size, dilation=dilation),
            nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None),
            unit(num_features, num_features, 1),
        )
        self._context_form = context
        self._init_head(num_features, num_classes, dropout=dropout, rngs=rngs, **dtypes)

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """As `ImageClassifier.reset_head`; the context module, which works on scores, becomes a new one too."""
        rngs = rngs or nnx.Rngs(0)
        super().reset_head(num_classes, rngs=rngs)
        dtype, param_dtype = self._head_dtypes
        self.context = nnx.data(
            None
            if self._context_form is None or num_classes == 0
            else ContextModule(num_classes, form=self._context_form, dtype=dtype, param_dtype=param_dtype, rngs=rngs)
        )

    def layers_of_classes(self) -> tuple[str, ...]:
        return "head", "context"

    def dense_logits(self, x: jax.Array) -> jax.Array:
        """The map of scores: (N, H, W, in_channels) -> (N, H / 8, W / 8, num_classes), float32.

        Raises:
            ValueError: if the model was built without a head, or the images have a wrong shape.
        """
        if self.head is None:
            raise ValueError("the model has no head; build it with num_classes of at least 1")
        *_, x = self.features(x).values()
        scores = self.head(self.dropout(run(self.last, x)))
        if self.context is not None:
            scores = run(self.context, scores)
        return scores.astype(jnp.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) if self.head is None else global_average_pool(self.dense_logits(x))


# Counted. The front end's are those of VGG-16 with 21 classes.
for _name, _context, _parameters in (
    ("dilatednet_frontend", None, 134_346_581),
    ("dilatednet", "basic", 134_374_973),
    ("dilatednet_large", "large", 141_149_720),
):
    register(_name, DilatedNet, ModelInfo(_PAPER, 224, parameters=_parameters), context=_context)
