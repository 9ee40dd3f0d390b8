"""Where the weights of a model are published, in the words of those who publish them."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.preprocessing import Preprocessing

_USUAL = Preprocessing(224, 256)


@dataclass(frozen=True)
class TorchvisionWeights:
    """Weights that torchvision publishes.

    Attributes:
        name: torchvision's, such as "MobileNet_V2_Weights.IMAGENET1K_V2".
        file: at torchvision's address; its name ends with the first digits of its SHA-256.
        preprocessing: what images go through before the net.
    """

    name: str
    file: str
    preprocessing: Preprocessing = _USUAL


@dataclass(frozen=True)
class TimmWeights:
    """Weights that timm publishes, one or several sets for a net; the `config.json` beside them tells the rest.

    Attributes:
        architecture: timm's name of the net, such as "mobilenetv2_100".
        from_tensorflow: whether they were trained with TensorFlow, whose strided convolutions pad at the end, and
            with batch norms that add 1e-3 to the variance.
    """

    architecture: str
    from_tensorflow: bool = False
