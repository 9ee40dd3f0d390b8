"""What the Inception nets with auxiliary heads have in common."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from zoo.models._classifier import ImageClassifier
from zoo.models._pooling import global_average_pool


class AuxiliaryClassifier(ImageClassifier):
    """Base of the models that may have classifiers inside the net, to train with.

    Attributes:
        auxiliary_heads: modules with a method `reset(num_classes, rngs=...)`; each maps what `inner_maps` gives it
            to logits.
    """

    auxiliary_heads: nnx.List

    @property
    def has_auxiliary(self) -> bool:
        return bool(self.auxiliary_heads)

    def inner_maps(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The last map, and those that the auxiliary heads classify."""
        raise NotImplementedError

    def logits_with_auxiliary(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The logits of the head and those of the auxiliary heads, from one pass; all (N, num_classes), float32.

        GoogLeNet's paper adds the losses of the auxiliary heads with a weight of 0.3 (1409.4842, section 5).

        Raises:
            ValueError: if the model was built without auxiliary heads, or the images have a wrong shape.
        """
        self._check_images(x)
        if not self.auxiliary_heads:
            raise ValueError("the model has no auxiliary heads; build it with auxiliary_heads=True")
        if self.head is None:
            raise ValueError("the model has no head; build it with num_classes of at least 1")
        last, maps = self.inner_maps(x)
        logits = self.head(self.dropout(global_average_pool(last))).astype(jnp.float32)
        return logits, [head(inner) for head, inner in zip(self.auxiliary_heads, maps, strict=True)]

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """Puts new linear layers for `num_classes` classes in place of the head and of those of the auxiliary heads.

        Raises:
            ValueError: if `num_classes` is below 0, or 0 in a model with auxiliary heads.
        """
        if num_classes == 0 and self.auxiliary_heads:
            raise ValueError("num_classes=0 is for no head, but the model has auxiliary heads, which classify")
        rngs = rngs or nnx.Rngs(0)
        super().reset_head(num_classes, rngs=rngs)
        for head in self.auxiliary_heads:
            head.reset(num_classes, rngs=rngs)

    def layers_of_classes(self) -> tuple[str, ...]:
        """Where the layers are whose shapes depend on the number of classes, which `reset_head` makes anew."""
        return "head", *(f"auxiliary_heads.{number}.classify" for number in range(len(self.auxiliary_heads)))
