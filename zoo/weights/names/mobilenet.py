"""The nets of inverted residuals: MobileNetV1 to V4, MnasNet and EfficientNet, in torchvision and in timm."""

from __future__ import annotations

from zoo.models import EfficientNet, MnasNet, MobileNetV1, MobileNetV3, MobileNetV4
from zoo.models._names import (
    NameMap,
    blocks,
    numbered,
    timm_inverted_residuals,
    torchvision_inverted_residual,
    under,
)

_MNASNET_DEPTHS = (1, 3, 3, 3, 2, 4, 1)
_EFFICIENTNET_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_TIMM_UNIVERSAL = {
    "start": "dw_start.[conv,bn]",
    "expand": "pw_exp.[conv,bn]",
    "middle": "dw_mid.[conv,bn]",
    "project": "pw_proj.[conv,bn]",
}


def timm_v1(model: MobileNetV1) -> NameMap:
    depths = [len(stage) for stage in model.stages]
    layers = {"stem": "[conv_stem,bn1]", "head": "classifier"}
    for (path, _), theirs in zip(blocks(model.stages), numbered("blocks.{}.{}", depths), strict=True):
        layers |= under(path, theirs, {"depthwise": "[conv_dw,bn1]", "pointwise": "[conv_pw,bn2]"})
    return NameMap(layers)


def torchvision_v3(model: MobileNetV3) -> NameMap:
    names = list(blocks(model.stages))
    layers = {
        "stem": "features.0.[0,1]",
        "last": f"features.{len(names) + 1}.[0,1]",
        "after_pooling": "classifier.0",
        "head": "classifier.3",
    }
    for number, (path, block) in enumerate(names, start=1):
        layers |= torchvision_inverted_residual(path, f"features.{number}", block)
    return NameMap(layers, epsilon=1e-3)


def timm_v3(model: MobileNetV3) -> NameMap:
    depths = (1, 2, 3, 4, 2, 3) if len(list(blocks(model.stages))) == 15 else (1, 2, 3, 2, 3)
    layers = timm_inverted_residuals(model.stages, depths) | {
        "last": f"blocks.{len(depths)}.0.[conv,bn1]",
        "after_pooling": "conv_head",
    }
    return NameMap(layers, convolutions=frozenset({"after_pooling"}))


def torchvision_mnasnet(model: MnasNet) -> NameMap | None:
    if _squeezes(model):
        return None
    layers = {"stem": "layers.[0,1]", "last": "layers.[14,15]", "head": "classifier.1"}
    layers |= {"stages.0.0.depthwise": "layers.[3,4]", "stages.0.0.project": "layers.[6,7]"}
    _, *others = blocks(model.stages)
    for (path, _), theirs in zip(others, numbered("layers.{}.{}.layers", _MNASNET_DEPTHS[1:], first=8), strict=True):
        layers |= under(path, theirs, {"expand": "[0,1]", "depthwise": "[3,4]", "project": "[6,7]"})
    return NameMap(layers)


def timm_mnasnet(model: MnasNet) -> NameMap:
    layers = timm_inverted_residuals(model.stages, (1, 2, 3, 4, 2, 3, 1) if _squeezes(model) else _MNASNET_DEPTHS)
    return NameMap(layers | {"last": "[conv_head,bn2]"})


def _squeezes(model: MnasNet) -> bool:
    """Whether it is A1, which torchvision has not."""
    return any(block.squeeze_excite is not None for _, block in blocks(model.stages))


def torchvision_efficientnet(model: EfficientNet) -> NameMap:
    layers = {"stem": "features.0.[0,1]", "last": "features.8.[0,1]", "head": "classifier.1"}
    theirs = numbered("features.{}.{}", _EFFICIENTNET_DEPTHS, first=1)
    for (path, block), name in zip(blocks(model.stages), theirs, strict=True):
        layers |= torchvision_inverted_residual(path, name, block)
    return NameMap(layers)


def timm_efficientnet(model: EfficientNet) -> NameMap:
    return NameMap(timm_inverted_residuals(model.stages, _EFFICIENTNET_DEPTHS) | {"last": "[conv_head,bn2]"})


def timm_v4(model: MobileNetV4) -> NameMap:
    depths = [len(stage) for stage in model.stages]
    layers = {
        "stem": "[conv_stem,bn1]",
        "last": f"blocks.{len(depths)}.0.[conv,bn1]",
        "after_pooling": "[conv_head,norm_head]",
        "head": "classifier",
    }
    for (path, block), theirs in zip(blocks(model.stages), numbered("blocks.{}.{}", depths), strict=True):
        match type(block).__name__:
            case "ConvNormAct":
                layers[path] = f"{theirs}.[conv,bn1]"
            case "FusedInvertedBottleneck":
                layers |= under(path, theirs, {"expand": "[conv_exp,bn1]", "project": "[conv_pwl,bn2]"})
            case _:
                layers |= under(path, theirs, _TIMM_UNIVERSAL)
    return NameMap(layers)
