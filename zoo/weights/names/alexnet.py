"""AlexNet in torchvision, which has the form of one tower."""

from __future__ import annotations

from zoo.models import AlexNet
from zoo.models._names import NameMap


def torchvision(model: AlexNet) -> NameMap:
    layers = {
        "stem.layers.0": "features.0",
        "stages.0.0.layers.0": "features.3",
        "stages.1.0": "features.6",
        "stages.1.1": "features.8",
        "stages.1.2.layers.0": "features.10",
        "hidden.fc6": "classifier.1",
        "hidden.fc7": "classifier.4",
        "head": "classifier.6",
    }
    return NameMap(layers, flattened={"hidden.fc6": (6, 6)})
