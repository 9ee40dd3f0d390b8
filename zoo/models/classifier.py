"""What every image classifier of the zoo has in common: features, pooling, and a head that can be replaced."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype


class ImageClassifier(nnx.Module):
    """Base of the models: (N, H, W, in_channels) -> logits (N, num_classes), float32.

    A model builds its layers, then calls `_init_head`; it implements `features` and `embed`.

    Attributes:
        num_features: size of the vector that the head classifies.
        feature_strides: name of each feature map -> its stride over the input image, finest first.
    """

    num_features: int
    feature_strides: dict[str, int]

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
        """The named stage outputs, finest first; shapes (N, H / stride, W / stride, channels)."""
        raise NotImplementedError

    def embed(self, x: jax.Array) -> jax.Array:
        """The vector that the head classifies, shape (N, num_features)."""
        raise NotImplementedError

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

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.dropout(self.embed(x))).astype(jnp.float32)


def global_average_pool(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, C), the mean over all pixels, taken in float32 and given in the dtype of `x`."""
    return x.mean((1, 2), dtype=jnp.float32).astype(x.dtype)
