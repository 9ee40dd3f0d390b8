"""GoogLeNet and Inception v3 in torchvision; timm has taken over the names of the latter."""

from __future__ import annotations

from zoo.models import GoogLeNet, InceptionV3
from zoo.models._names import NameMap


def googlenet(model: GoogLeNet) -> NameMap:
    layers = {"stem": "conv1.[conv,bn]", "stem.layers.0": "conv1.[conv,bn]", "head": "fc"}
    layers |= {"stages.0.0": "conv2.[conv,bn]", "stages.0.1": "conv3.[conv,bn]"}
    for stage, members in enumerate(model.stages):
        for number in range(len(members) if stage > 0 else 0):
            inside = {
                "branches.0": "branch1",
                "branches.1.reduce": "branch2.0",
                "branches.1.conv": "branch2.1",
                "branches.2.reduce": "branch3.0",
                "branches.2.conv": "branch3.1",
                "branches.3.layers.1": "branch4.1",
            }
            theirs = f"inception{stage + 2}{'abcde'[number]}"
            # The first module of a stage comes behind a pooling.
            ours = f"stages.{stage}.{number}" + (".layers.1" if number == 0 else "")
            layers |= {f"{ours}.{layer}": f"{theirs}.{name}.[conv,bn]" for layer, name in inside.items()}
    for number in range(2):
        ours, theirs = f"auxiliary_heads.{number}", f"aux{number + 1}"
        layers |= {f"{ours}.reduce": f"{theirs}.conv.[conv,bn]", f"{ours}.hidden": f"{theirs}.fc1"}
        layers |= {f"{ours}.classify": f"{theirs}.fc2"}
    flattened = {f"auxiliary_heads.{number}.hidden": (4, 4) for number in range(2)}
    return NameMap(layers, flattened, unused=() if model.auxiliary_heads else ("aux1.", "aux2."), epsilon=1e-3)


def inception_v3(model: InceptionV3) -> NameMap:
    factorized = {
        "branches.0": "branch1x1",
        "branches.1.reduce": "branch5x5_1",
        "branches.1.conv": "branch5x5_2",
        "branches.2.layers.0.reduce": "branch3x3dbl_1",
        "branches.2.layers.0.conv": "branch3x3dbl_2",
        "branches.2.layers.1": "branch3x3dbl_3",
        "branches.3.layers.1": "branch_pool",
    }
    reduction = {
        "branches.0": "branch3x3",
        "branches.1.layers.0.reduce": "branch3x3dbl_1",
        "branches.1.layers.0.conv": "branch3x3dbl_2",
        "branches.1.layers.1": "branch3x3dbl_3",
    }
    asymmetric = {
        "branches.0": "branch1x1",
        **{f"branches.1.layers.{number}": f"branch7x7_{number + 1}" for number in range(3)},
        **{f"branches.2.layers.{number}": f"branch7x7dbl_{number + 1}" for number in range(5)},
        "branches.3.layers.1": "branch_pool",
    }
    asymmetric_reduction = {
        **{f"branches.0.layers.{number}": f"branch3x3_{number + 1}" for number in range(2)},
        **{f"branches.1.layers.{number}": f"branch7x7x3_{number + 1}" for number in range(4)},
    }
    expanded = {
        "branches.0": "branch1x1",
        "branches.1.layers.0": "branch3x3_1",
        "branches.1.layers.1.branches.0": "branch3x3_2a",
        "branches.1.layers.1.branches.1": "branch3x3_2b",
        "branches.2.layers.0.reduce": "branch3x3dbl_1",
        "branches.2.layers.0.conv": "branch3x3dbl_2",
        "branches.2.layers.1.branches.0": "branch3x3dbl_3a",
        "branches.2.layers.1.branches.1": "branch3x3dbl_3b",
        "branches.3.layers.1": "branch_pool",
    }
    modules = {
        "stages.1.0.layers.1": ("Mixed_5b", factorized),  # behind a pooling
        "stages.1.1": ("Mixed_5c", factorized),
        "stages.1.2": ("Mixed_5d", factorized),
        "stages.2.0": ("Mixed_6a", reduction),
        **{f"stages.2.{number}": (f"Mixed_6{'abcde'[number]}", asymmetric) for number in range(1, 5)},
        "stages.3.0": ("Mixed_7a", asymmetric_reduction),
        "stages.3.1": ("Mixed_7b", expanded),
        "stages.3.2": ("Mixed_7c", expanded),
    }
    convs = {
        "stem.layers.0": "Conv2d_1a_3x3",
        "stem.layers.1": "Conv2d_2a_3x3",
        "stem.layers.2": "Conv2d_2b_3x3",
        "stages.0.0": "Conv2d_3b_1x1",
        "stages.0.1": "Conv2d_4a_3x3",
        "auxiliary_heads.0.reduce": "AuxLogits.conv0",
        "auxiliary_heads.0.conv": "AuxLogits.conv1",
        **{
            f"{ours}.{layer}": f"{theirs}.{name}"
            for ours, (theirs, inside) in modules.items()
            for layer, name in inside.items()
        },
    }
    layers = {ours: f"{theirs}.[conv,bn]" for ours, theirs in convs.items()}
    layers |= {"auxiliary_heads.0.classify": "AuxLogits.fc", "head": "fc"}
    return NameMap(layers, unused=() if model.auxiliary_heads else ("AuxLogits.",), epsilon=1e-3)
