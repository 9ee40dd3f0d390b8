"""What every image classifier of the zoo has in common: features, pooling, and a head that can be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.models._net import Net
from zoo.models._pooling import global_average_pool
from zoo.models._rematerialise import run


class ImageClassifier(Net):
    """Base of the models: (N, H, W, in_channels) -> logits (N, num_classes), float32.

    With `num_classes=0` a model has no head, and gives the pooled features (N, num_features), float32.

    A model builds `stem`, hands its stages to `_init_stages` and the rest to `_init_head`. One whose layers do not
    form a chain of stages implements `features` and `embed` itself.

    Attributes:
        num_features: size of the vector that the head classifies.
        head: a linear layer for the classes; None for none.
        stem: what comes before the first stage.
        stages: the blocks of each stage.
        last: what comes between the last stage and the pooling; None for nothing.
        last_is_dense: whether nets for dense prediction read the map behind `last`, not that of the last stage.
    """

    num_features: int
    head: nnx.Linear | None
    stem: Callable[[jax.Array], jax.Array]
    last: Callable[[jax.Array], jax.Array] | None = None
    last_is_dense: ClassVar[bool] = False

    def _init_stages(self, stages: Sequence[Sequence[nnx.Module]], strides: Sequence[int]) -> None:
        """Names the stages `stage1`, `stage2`, ...; `strides` are those of their outputs over the image."""
        self.stages = nnx.List([nnx.List(stage) for stage in stages])
        self.feature_strides = {f"stage{number}": stride for number, stride in enumerate(strides, start=1)}

    def _init_head(
        self,
        num_features: int,
        num_classes: int,
        *,
        dropout: float,
        dtype: Dtype | None,
        param_dtype: Dtype,
        rngs: nnx.Rngs,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} must be at least 0 and below 1")
        self.num_features = num_features
        self.dropout = nnx.Dropout(dropout, rngs=rngs if dropout > 0 else None)
        self._head_dtypes = (dtype, param_dtype)
        self.reset_head(num_classes, rngs=rngs)

    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        return {name: outputs[-1] for name, outputs in self.block_outputs(x).items()}

    def block_outputs(self, x: jax.Array) -> dict[str, list[jax.Array]]:
        """Name of each stage -> the outputs of all of its blocks, in their order; the last is that of `features`.

        Raises:
            ValueError: if the images are not of shape (N, H, W, in_channels).
        """
        self._check_images(x)
        x = run(self.stem, x)
        outputs: dict[str, list[jax.Array]] = {}
        for name, stage in zip(self.feature_strides, self.stages, strict=True):
            outputs[name] = []
            for block in stage:
                x = run(block, x)
                outputs[name].append(x)
        return outputs

    @property
    def num_classes(self) -> int:
        return 0 if self.head is None else self.head.out_features

    def first_convolution(self) -> tuple[str, int | None]:
        for path, module in nnx.iter_graph(self.stem):
            # What is depthwise tells nothing of the channels that the model was built for.
            if isinstance(module, nnx.Conv) and module.feature_group_count == 1:
                return ".".join(map(str, ("stem", *path))), module.in_features
        return "stem", None

    def embed(self, x: jax.Array) -> jax.Array:
        """The vector that the head classifies, shape (N, num_features)."""
        *_, x = self.features(x).values()
        return global_average_pool(x if self.last is None else run(self.last, x))

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """Puts a newly initialised linear layer for `num_classes` classes in place of the head.

        Args:
            num_classes: how many classes to tell apart; 0 for no head.
            rngs: gives the `params` key; None for seed 0.

        Raises:
            ValueError: if `num_classes` is below 0.
        """
        if num_classes < 0:
            raise ValueError(f"num_classes={num_classes} must be at least 1, or 0 for no head")
        dtype, param_dtype = self._head_dtypes
        if num_classes == 0:
            self.head = nnx.data(None)
            return
        self.head = nnx.Linear(
            self.num_features,
            num_classes,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=nnx.initializers.normal(0.01),
            rngs=rngs or nnx.Rngs(0),
        )

    def layers_of_classes(self) -> tuple[str, ...]:
        return ("head",)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.embed(x)
        return (x if self.head is None else self.head(self.dropout(x))).astype(jnp.float32)
