"""DilatedNet (Yu & Koltun 2015, arXiv 1511.07122): VGG-16 made dense by dilation, and a context module."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import BatchNorm, ContextModule, Conv
from zoo.blocks.conv_norm_act import Activation, Norm
from zoo.models._names import NameMap
from zoo.models._rematerialise import run
from zoo.models._segmenter import Segmenter, renewed
from zoo.models._vgg_head import VGGHead
from zoo.models._width import scale_channels
from zoo.registry import ModelInfo, register

_PAPER = "arXiv:1511.07122"
_DILATIONS = (1, 1, 2, 4, 8, 16, 1)
_SMALL_DILATIONS = (1, 1, 2, 4, 8, 1)  # what fits in a map of 16×16
_OF_KITTI = (1, 1, 2, 4, 8, 1)
_OF_CITYSCAPES = (1, 1, 2, 4, 8, 16, 32, 64, 1)


class DilatedNet(Segmenter):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32.

    The front end is VGG-16 without its last two poolings, so that its maps stop at stride 8; conv5 is dilated by 2
    and fc6, which is a 7×7 convolution here, by 4, for the strides that are gone (section 4). Its map of scores is
    refined by the context module, and enlarged to the image by interpolation.

    In the authors' front end no layer pads: the image is reflected at its border, by 186 pixels, and the maps shrink.
    `padding="reflect"` gives the same numbers in another way: the layers pad a reflected image that is larger still,
    and what the zeros have reached is cut off. It takes the memory and time of an image that is 384 pixels higher and
    wider. The context module pads with zeros in either case, in the large form then once, before its first layer, as in
    the authors' nets.

    The names of the tensors are those of the authors' Caffe nets, whose images are BGR, in units of 0 to 255 and
    without their mean.

    Args:
        num_classes: size of the output; by default the 21 of Pascal VOC.
        in_channels: channels of the image.
        context: "basic" or "large" for the context module of that form, or None for the front end alone. Its
            parameters grow with the square of `num_classes`: 64 times in the basic form.
        dilations: of the context module's 3×3 convolutions; None for 1, 1, 2, 4, 8, 16, 1, in the form for small images
            without the 16.
        padding: "zeros" around the map of every layer of the front end, or "reflect", as in the paper.
        width: multiplies the channels of the front end.
        small_images: the form for images of about 64×64, whose front end sees 48×48 pixels and leaves it to the context
            module to see more: the body has its form for 32×32 without conv5, and maps of stride 4. fc6 and fc7 have
            512 channels, and fc6 is 1×1.
        dropout: rate after fc6 and fc7.
        norm: makes normalisations of the front end; None for none, as in the paper, which starts from trained weights,
            or for batch norm in the form for small images, which does not learn from scratch without it.
        act: activation of the front end.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` and `dropout` keys.

    Raises:
        ValueError: if a number is out of range, if there is no context module of that form, or no such padding.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        *,
        context: str | None = "basic",
        dilations: tuple[int, ...] | None = None,
        padding: str = "zeros",
        width: float = 1.0,
        small_images: bool = False,
        dropout: float = 0.5,
        norm: Norm | None = None,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if padding not in ("zeros", "reflect"):
            raise ValueError(f"padding={padding!r} must be 'zeros' or 'reflect'")
        shared: dict[str, Any] = {"act": act, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        norm = BatchNorm if small_images and norm is None else norm
        self._init_body(
            "vgg16",
            in_channels=in_channels,
            width=width,
            small_images=small_images,
            stages=4 if small_images else None,
            output_stride=4 if small_images else 8,
            norm=norm,
            **shared,
        )
        hidden_channels, kernel_size, dilation = (512, 1, 1) if small_images else (4096, 7, 4)
        self.head = VGGHead(
            self._channels(DilatedNet.last_map),
            num_classes,
            hidden_channels=scale_channels(hidden_channels, width),
            kernel_size=kernel_size,
            dilation=dilation,
            dropout=dropout,
            norm=norm,
            **shared,
        )
        self.margin = self._reach() if padding == "reflect" else 0
        if dilations is None:
            dilations = _SMALL_DILATIONS if small_images else _DILATIONS
        self._context_options: dict[str, Any] = {
            "form": context,
            "dilations": dilations,
            "pads_once": padding == "reflect" and context == "large",
            "dtype": dtype,
            "param_dtype": param_dtype,
        }
        self._init_context(num_classes, rngs)

    def _init_context(self, num_classes: int, rngs: nnx.Rngs) -> None:
        is_there = self._context_options["form"] is not None
        self.context = nnx.data(ContextModule(num_classes, rngs=rngs, **self._context_options) if is_there else None)

    def _reach(self) -> int:
        """How many pixels around its own a score sees, rounded up to the stride, so that scores stay where they are."""
        strides = [1, *self.feature_strides.values()]
        parts = zip((self.body.stem, *self.body.stages, self.head), (*strides, strides[-1]), strict=True)
        convs: list[tuple[Any, int]] = [
            (layer, stride) for part, stride in parts for _, layer in nnx.iter_modules(part) if isinstance(layer, Conv)
        ]
        reach = sum(stride * conv.padding[0][0] for conv, stride in convs)
        return -(-reach // strides[-1]) * strides[-1]

    def dense_logits(self, x: jax.Array) -> jax.Array:
        scores = self._front_end(x)
        return (scores if self.context is None else run(self.context, scores)).astype(jnp.float32)

    @property
    def has_auxiliary(self) -> bool:
        return self.context is not None

    def logits_with_auxiliary(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The logits, and those of the front end, which the context module refines; (N, H, W, num_classes), float32.

        The authors train the front end first, and the context module on its scores. Here both learn at once and yet so:
        no gradient goes from the context module into the front end, which learns by these further logits alone.

        Raises:
            ValueError: if the model was built without a context module, or the images have a wrong shape.
        """
        if self.context is None:
            raise ValueError("the model has no context module, so that the logits of its front end are its logits")
        scores = self._front_end(x)
        logits, auxiliary = (
            self.upsample(of_part.astype(jnp.float32), x.shape[1:3])
            for of_part in (run(self.context, jax.lax.stop_gradient(scores)), scores)
        )
        return logits, [auxiliary]

    def _front_end(self, x: jax.Array) -> jax.Array:
        """The scores before the context module: (N, H / stride, W / stride, num_classes)."""
        self._check_images(x)
        *_, stride = self.feature_strides.values()
        first, (rows, columns) = self.margin // stride, (length // stride for length in x.shape[1:3])
        if self.margin:
            around = (self.margin, self.margin)
            x = jnp.pad(x, ((0, 0), around, around, (0, 0)), "reflect")
        scores = run(self.head, self.last_map(self.body.block_outputs(x)))
        return scores[:, first : first + rows, first : first + columns]

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """As `Segmenter.reset_head`; the context module, which works on scores, becomes a new one too."""
        rngs = rngs or nnx.Rngs(0)
        self.head.classify = renewed(self.head.classify, num_classes, rngs)
        self._init_context(num_classes, rngs)

    def layers_of_classes(self) -> tuple[str, ...]:
        return "head.classify", "context"

    def torch_names(self) -> dict[str, NameMap]:
        stem: Any = self.body.stem
        if stem.norm is not None:
            return {}  # the authors' nets have no normalisations
        layers = {"body.stem": "conv1_1", "head.fc6": "fc6", "head.fc7": "fc7"}
        for stage, members in enumerate(self.body.stages):
            for number in range(len(members)):
                for path in (f"body.stages.{stage}.{number}", f"body.stages.{stage}.{number}.layers.1"):
                    layers[path] = f"conv{stage + 1}_{number + (2 if stage == 0 else 1)}"
        # Of Pascal VOC there are the front end and the large form, named before the others.
        final, prefix = ("final", "ctx") if self._context_options["form"] == "basic" else ("fc-final", "ct")
        layers |= {"head.classify": final, "context.last": f"{prefix}_final"}
        count = len(self._context_options["dilations"])
        names = [f"conv1_{number + 1}" if number < 2 else f"conv{number}_1" for number in range(count - 1)]
        for number, name in enumerate((*names, "fc1")):
            layers[f"context.layers.{number}"] = f"{prefix}_{name}"
        return {"fyu/dilation": NameMap(layers, unused=("ctx_upsample.",), epsilon=None)}


# Parameters as counted, the front end's being those of VGG-16. The images have the size that the authors' nets give
# scores for; they reflect 186 pixels more on each side.
for _name, _context, _dilations, _classes, _size, _parameters, _mean_iou, _of in (
    ("dilatednet_frontend", None, None, 21, 528, 134_346_581, 69.8, "VOC 2012 val"),
    ("dilatednet", "basic", None, 21, 528, 134_374_973, 71.3, "VOC 2012 val"),
    ("dilatednet_large", "large", None, 21, 528, 141_149_720, 72.1, "VOC 2012 val"),
    ("dilation7_kitti", "basic", _OF_KITTI, 11, 528, 134_312_343, 59.2, "KITTI test"),
    ("dilation8_camvid", "basic", None, 11, 480, 134_313_443, 65.3, "CamVid test"),
    ("dilation10_cityscapes", "basic", _OF_CITYSCAPES, 19, 1024, 134_368_179, 68.7, "Cityscapes val"),
):
    register(
        _name,
        DilatedNet,
        ModelInfo(
            _PAPER,
            _size,
            parameters=_parameters,
            task="segmentation",
            mean_iou=_mean_iou,
            mean_iou_of=_of,
        ),
        num_classes=_classes,
        context=_context,
        dilations=_dilations,
    )
