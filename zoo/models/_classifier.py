"""What every image classifier of the zoo has in common: features, pooling, and a head that can be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.models._names import NameMap
from zoo.models._pooling import global_average_pool
from zoo.models._rematerialise import run


class ImageClassifier(nnx.Module):
    """Base of the models: (N, H, W, in_channels) -> logits (N, num_classes), float32.

    A model builds `stem`, hands its stages to `_init_stages` and the rest to `_init_head`. One whose layers do not
    form a chain of stages implements `features` and `embed` itself.

    Attributes:
        num_features: size of the vector that the head classifies.
        feature_strides: name of each feature map -> its stride over the input image, finest first.
        stem: what comes before the first stage.
        stages: the blocks of each stage.
        last: what comes between the last stage and the pooling; None for nothing.
    """

    num_features: int
    feature_strides: dict[str, int]
    stem: Callable[[jax.Array], jax.Array]
    last: Callable[[jax.Array], jax.Array] | None = None

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
        """The named stage outputs, finest first; shapes (N, H / stride, W / stride, channels).

        Raises:
            ValueError: if the images are not of shape (N, H, W, in_channels).
        """
        self._check_images(x)
        x = run(self.stem, x)
        outputs = {}
        for name, stage in zip(self.feature_strides, self.stages, strict=True):
            for block in stage:
                x = run(block, x)
            outputs[name] = x
        return outputs

    def _check_images(self, x: jax.Array) -> None:
        convolutions = (module for _, module in nnx.iter_graph(self.stem) if isinstance(module, nnx.Conv))
        # The first that is not depthwise tells how many channels the model was built for.
        channels = next((conv.in_features for conv in convolutions if conv.feature_group_count == 1), None)
        if x.ndim != 4 or (channels is not None and x.shape[-1] != channels):
            raise ValueError(f"images must be (N, H, W, {channels or 'C'}), channels last, not {x.shape}")

    def embed(self, x: jax.Array) -> jax.Array:
        """The vector that the head classifies, shape (N, num_features)."""
        *_, x = self.features(x).values()
        return global_average_pool(x if self.last is None else run(self.last, x))

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """Puts a newly initialised linear layer for `num_classes` classes in place of the head.

        Args:
            num_classes: how many classes to tell apart.
            rngs: gives the `params` key; None for seed 0.

        Raises:
            ValueError: if `num_classes` is below 1.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes} must be at least 1")
        dtype, param_dtype = self._head_dtypes
        self.head = nnx.Linear(
            self.num_features,
            num_classes,
            dtype=dtype,
            param_dtype=param_dtype,
            kernel_init=nnx.initializers.normal(0.01),
            rngs=rngs or nnx.Rngs(0),
        )

    def layers_of_classes(self) -> tuple[str, ...]:
        """Where the layers are whose shapes depend on the number of classes, which `reset_head` makes anew."""
        return ("head",)

    def torch_names(self) -> dict[str, NameMap]:
        """The names that public PyTorch implementations give to the layers of this model.

        Returns:
            "torchvision", "timm", or for what neither has the repository of the best-known implementation -> the
            names there. Empty if there is none.
        """
        return {}

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.dropout(self.embed(x))).astype(jnp.float32)
