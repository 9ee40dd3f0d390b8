"""What every net of the zoo tells of itself: its maps, its classes, and what others call its layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from zoo.models._names import NameMap


class Net(nnx.Module):
    """Base of `ImageClassifier` and `Segmenter`, and what the registry, weights and analysis know of them.

    Attributes:
        feature_strides: name of each feature map -> its stride over the input image, finest first.
        dilates_first: whether the first block of a stage that is dilated in place of its stride is dilated itself; None
            if implementations of the net do not differ in that.
    """

    feature_strides: dict[str, int]
    dilates_first: bool | None = None

    def dilate_first(self, dilates_first: bool) -> None:
        """Sets `dilates_first` where it is not None."""

    def features(self, x: jax.Array) -> dict[str, jax.Array]:
        """The named stage outputs, finest first; shapes (N, H / stride, W / stride, channels).

        Raises:
            ValueError: if the images are not of shape (N, H, W, in_channels).
        """
        raise NotImplementedError

    @property
    def feature_channels(self) -> dict[str, int]:
        """Name of each feature map -> its channels, finest first. Traces the features anew each time."""
        _, channels = self.first_convolution()
        graph, state = nnx.split(self)
        images = jax.ShapeDtypeStruct((1, 256, 256, channels or 3), jnp.float32)
        maps = jax.eval_shape(lambda state, images: nnx.merge(graph, state).features(images), state, images)
        return {name: feature_map.shape[-1] for name, feature_map in maps.items()}

    @property
    def num_classes(self) -> int:
        """How many classes the net tells apart; 0 for no head."""
        raise NotImplementedError

    @property
    def has_auxiliary(self) -> bool:
        """Whether there are further logits to train with, which `logits_with_auxiliary` gives."""
        return False

    def first_convolution(self) -> tuple[str, int | None]:
        """Where the convolution is that sees the channels of the images, and how many these are, if there is one."""
        raise NotImplementedError

    def reset_head(self, num_classes: int, *, rngs: nnx.Rngs | None = None) -> None:
        """Puts newly initialised layers for `num_classes` classes in place of those that there are.

        Args:
            num_classes: how many classes to tell apart.
            rngs: gives the `params` key; None for seed 0.

        Raises:
            ValueError: if `num_classes` is out of range.
        """
        raise NotImplementedError

    def layers_of_classes(self) -> tuple[str, ...]:
        """Where the layers are whose shapes depend on the number of classes, which `reset_head` makes anew.

        The bias of the first has a number for each class.
        """
        raise NotImplementedError

    def parts_of_head(self) -> tuple[str, ...]:
        """Where what is not the body is, which starts anew where the body has trained weights."""
        return self.layers_of_classes()

    def torch_names(self) -> dict[str, NameMap]:
        """The names that public PyTorch implementations give to the layers of this model.

        Returns:
            "torchvision", "timm", or for what neither has the repository of the best-known implementation -> the
            names there. Empty if there is none.
        """
        return {}

    def _check_images(self, x: jax.Array) -> None:
        _, channels = self.first_convolution()
        if x.ndim != 4 or (channels is not None and x.shape[-1] != channels):
            raise ValueError(f"images must be (N, H, W, {channels or 'C'}), channels last, not {x.shape}")
