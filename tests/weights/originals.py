"""The nets of torchvision and timm that ours are compared with; to build them takes PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from zoo.published import TorchvisionWeights
from zoo.registry import published_weights

_MNASNET = {
    "mnasnet_b1": "mnasnet1_0",
    "mnasnet_b1_x0_5": "mnasnet0_5",
    "mnasnet_b1_x0_75": "mnasnet0_75",
    "mnasnet_b1_x1_3": "mnasnet1_3",
}

_DEEPLAB = {
    "deeplab_v3_resnet50": "deeplabv3_resnet50",
    "deeplab_v3_resnet101": "deeplabv3_resnet101",
    "deeplab_v3_mobilenet_v3_large": "deeplabv3_mobilenet_v3_large",
}

ORIGINALS: dict[str, str] = {
    f"torchvision/{(_MNASNET | _DEEPLAB).get(model, model)}"
    if isinstance(weights, TorchvisionWeights)
    else f"timm/{weights.architecture}": model
    for model, weights in published_weights()
}
"""Every net there that ours can take the weights of -> our name for it."""


def build(original: str, num_classes: int) -> Any:
    """A net of torchvision or timm, in evaluation mode, with its auxiliary heads."""
    library, name = original.split("/")
    if library == "timm":
        import timm

        return timm.create_model(name, num_classes=num_classes).eval()
    import torchvision

    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith(("fcn_", "deeplabv3_", "lraspp_")):
        options = {"weights_backbone": None} | ({} if name.startswith("lraspp_") else {"aux_loss": True})
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options).eval()


def load(net: Any, tensors: dict[str, np.ndarray]) -> None:
    """Loads weights strictly."""
    import torch

    state = net.state_dict()  # with the version that torchvision's MNASNet asks for and no file of tensors has
    versions = state._metadata
    state = OrderedDict((name, torch.from_numpy(tensor)) for name, tensor in tensors.items())
    state._metadata = versions  # type: ignore[attr-defined]
    net.load_state_dict(state, strict=True)
