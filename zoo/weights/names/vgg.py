"""VGG-16 in torchvision and in timm, where the hidden layers are convolutions."""

from __future__ import annotations

from zoo.models import VGG16
from zoo.models._names import NameMap


def torchvision(model: VGG16) -> NameMap:
    layers = _convs(model) | {"hidden.fc6": "classifier.0", "hidden.fc7": "classifier.3", "head": "classifier.6"}
    return NameMap(layers, flattened={"hidden.fc6": (7, 7)})


def timm(model: VGG16) -> NameMap:
    layers = _convs(model) | {"hidden.fc6": "pre_logits.fc1", "hidden.fc7": "pre_logits.fc2", "head": "head.fc"}
    return NameMap(layers, {"hidden.fc6": (7, 7)}, convolutions=frozenset({"hidden.fc6", "hidden.fc7"}))


def _convs(model: VGG16) -> dict[str, str]:
    """Activations and poolings have numbers, too."""
    layers, position = {"stem": "features.0"}, 2
    for stage, members in enumerate(model.stages):
        position += stage > 0
        for number in range(len(members)):
            for path in (f"stages.{stage}.{number}", f"stages.{stage}.{number}.layers.1"):
                layers[path] = f"features.{position}"
            position += 2
    return layers
