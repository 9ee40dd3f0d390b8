"""What every segmentation net of the zoo has in common: a body of the registry, and logits at the size of the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.blocks import Conv
from zoo.models._classifier import ImageClassifier
from zoo.models._net import Net
from zoo.models._rematerialise import run
from zoo.ops import resize_bilinear
from zoo.registry import create_model

BlockOutputs = Mapping[str, Sequence[jax.Array]]
"""Name of each stage of a body -> the outputs of its blocks."""


class Segmenter(Net):
    """Base of the segmentation nets: (N, H, W, in_channels) -> logits (N, H, W, num_classes), float32, for any H and W.

    A net has its body from `_init_body`, makes its heads, and says in `scores` what the head makes of the body's maps.
    It chooses these by their strides, so that it works with any body that has them.

    Attributes:
        body: a classifier of the registry, of which the features are left.
        head: makes the logits of every pixel of a map. Its layer of the classes is `classify`, unless
            `layers_of_classes` says otherwise.
        auxiliary_heads: no or one further head, for the map that `inner_map` chooses, to train with.
    """

    body: ImageClassifier
    head: Any
    auxiliary_heads: nnx.List[Any]

    def _init_body(
        self, name: str, *, in_channels: int, stages: int | None = None, rngs: nnx.Rngs, **options: Any
    ) -> None:
        """Makes the body, with nothing after its features; there are no heads yet.

        Args:
            name: of the classifier.
            in_channels: channels of the image.
            stages: how many of its stages are kept; None for all.
            rngs: gives the `params` key.
            **options: of the classifier; those that are None are left to it.

        Raises:
            ValueError: if it is no classifier whose features come from a stem and stages alone.
        """
        given = {option: value for option, value in options.items() if value is not None}
        body = create_model(name, num_classes=0, in_channels=in_channels, rngs=rngs, **given)
        if not isinstance(body, ImageClassifier) or type(body).block_outputs is not ImageClassifier.block_outputs:
            raise ValueError(f"body={name!r} must be a classifier that is a chain of stages, such as 'resnet50'")
        kept = {"stem", "stages", "head", *(["last"] if body.last_is_dense else [])}
        for part, module in list(vars(body).items()):
            if isinstance(module, nnx.Pytree) and part not in kept:
                delattr(body, part)
        body.stages = nnx.List(body.stages[:stages])
        body.feature_strides = dict(list(body.feature_strides.items())[:stages])
        self.body = body
        self.feature_strides = dict(body.feature_strides)
        self.auxiliary_heads = nnx.List([])

    def _channels(self, choose: Callable[[Any, BlockOutputs], jax.Array]) -> int:
        """How many channels a map has: `choose(net, outputs)` gives it from the outputs of the body's blocks."""
        _, channels = self.first_convolution()
        graph, state = nnx.split(self)

        def chosen(state: Any, images: jax.Array) -> jax.Array:
            net = nnx.merge(graph, state)
            return choose(net, net.body.block_outputs(images))

        images = jax.ShapeDtypeStruct((1, 64, 64, channels or 3), jnp.float32)
        return jax.eval_shape(chosen, state, images).shape[-1]

    def scores(self, outputs: BlockOutputs) -> jax.Array:
        """What the head makes of the outputs of the body's blocks: logits before upsampling."""
        return run(self.head, self.last_map(outputs))

    def inner_map(self, outputs: BlockOutputs) -> jax.Array:
        """The map that the auxiliary head reads."""
        raise NotImplementedError

    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        return self.body.features(x)

    def dense_logits(self, x: jax.Array) -> jax.Array:
        """The logits before upsampling: (N, H, W, in_channels) -> (N, H / stride, W / stride, num_classes), float32.

        Raises:
            ValueError: if the images are not of shape (N, H, W, in_channels).
        """
        return self.scores(self.body.block_outputs(x)).astype(jnp.float32)

    @property
    def has_auxiliary(self) -> bool:
        return bool(self.auxiliary_heads)

    def logits_with_auxiliary(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The logits of the head and those of the auxiliary heads, from one pass; all (N, H, W, num_classes), float32.

        torchvision adds the loss of the auxiliary head with a weight of 0.5.

        Raises:
            ValueError: if the model was built without auxiliary heads, or the images have a wrong shape.
        """
        if not self.auxiliary_heads:
            raise ValueError("the model has no auxiliary heads; build it with auxiliary_heads=True, if it takes that")
        outputs = self.body.block_outputs(x)
        inner = self.inner_map(outputs)
        maps = [self.scores(outputs), *(run(head, inner) for head in self.auxiliary_heads)]
        logits, *auxiliary = (self.upsample(logits.astype(jnp.float32), x.shape[1:3]) for logits in maps)
        return logits, auxiliary

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.upsample(self.dense_logits(x), x.shape[1:3])

    def map_at(self, outputs: BlockOutputs, stride: int, *, first: bool = False) -> jax.Array:
        """The output of the last block of the body that has a stride over the image, or of the first.

        Raises:
            ValueError: if no stage has that stride.
        """
        stages = [outputs[name] for name, there in self.feature_strides.items() if there == stride]
        if not stages:
            raise ValueError(f"the body has maps of stride {', '.join(map(str, self.feature_strides.values()))}, "
                             f"and none of stride {stride}")  # fmt: skip
        return stages[0][0] if first else stages[-1][-1]

    def upsample(self, logits: jax.Array, size: Sequence[int]) -> jax.Array:
        """(N, h, w, num_classes) -> (N, *size, num_classes): from the stride of the head to the image."""
        return resize_bilinear(logits, size)

    def last_map(self, outputs: BlockOutputs) -> jax.Array:
        """The body's last map, after its layer `last` where dense prediction has it."""
        *_, (*_, x) = outputs.values()
        return x if self.body.last is None else run(self.body.last, x)

    @property
    def num_classes(self) -> int:
        return self._layer(self.layers_of_classes()[0]).out_features

    def first_convolution(self) -> tuple[str, int | None]:
        path, channels = self.body.first_convolution()
        return f"body.{path}", channels

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """As `Net.reset_head`, in the head and in the auxiliary heads.

        Raises:
            ValueError: if `num_classes` is below 1.
        """
        rngs = rngs or nnx.Rngs(0)
        for path in self.layers_of_classes():
            path_of_parent, _, name = path.rpartition(".")
            parent, new = self._layer(path_of_parent), renewed(self._layer(path), num_classes, rngs)
            if name.isdigit():
                parent[int(name)] = new
            else:
                setattr(parent, name, new)

    def parts_of_head(self) -> tuple[str, ...]:
        return tuple(part for part, module in vars(self).items() if isinstance(module, nnx.Pytree) and part != "body")

    def layers_of_classes(self) -> tuple[str, ...]:
        return "head.classify", *(f"auxiliary_heads.{number}.classify" for number in range(len(self.auxiliary_heads)))

    def _layer(self, path: str) -> Any:
        layer: Any = self
        for part in filter(None, path.split(".")):
            layer = layer[int(part)] if part.isdigit() else getattr(layer, part)
        return layer


def classifier(
    in_channels: int,
    num_classes: int,
    kernel_size: int = 1,
    *,
    dilation: int = 1,
    use_bias: bool = True,
    dtype: Dtype | None,
    param_dtype: Dtype,
    rngs: nnx.Rngs,
) -> Conv:
    """The layer of the classes, which starts as the head of a classifier does.

    Raises:
        ValueError: if `num_classes` is below 1: a net without it gives no logits.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be at least 1: a segmentation net cannot go without its head")
    return Conv(
        in_channels,
        num_classes,
        kernel_size,
        dilation=dilation,
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=param_dtype,
        kernel_init=nnx.initializers.normal(0.01),
        rngs=rngs,
    )


def renewed(old: Any, num_classes: int, rngs: nnx.Rngs) -> Conv:
    """A newly initialised layer for other classes in the place of one that `classifier` has made.

    Raises:
        ValueError: if `num_classes` is below 1.
    """
    return classifier(
        old.in_features,
        num_classes,
        old.kernel_size[0],
        dilation=old.kernel_dilation,
        use_bias=old.bias is not None,
        dtype=old.dtype,
        param_dtype=old.param_dtype,
        rngs=rngs,
    )


def check_form(form: str) -> None:
    """Raises ValueError if a net is neither to be the paper's nor torchvision's."""
    if form not in ("paper", "torchvision"):
        raise ValueError(f"form={form!r} must be 'paper' or 'torchvision'")


def torchvision_body(body: ImageClassifier) -> dict[str, str]:
    """What torchvision calls the layers of a body inside a segmentation net."""
    layers = body.torch_names()["torchvision"].layers
    return {f"body.{ours}": f"backbone.{theirs.removeprefix('features.')}" for ours, theirs in layers.items()}
