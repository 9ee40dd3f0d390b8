"""The benchmarked nets in PyTorch, layer by layer as in `zoo.models`: in their 32×32 form, some in ImageNet's too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, dilation: int = 1, groups: int = 1,
         act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:  # fmt: skip
    padding = dilation * (kernel - 1) // 2
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act(inplace=True)] if act else []))


class Sum(nn.Module):
    """A branch and a shortcut, added up."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.act = branch, shortcut, act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.branch(x) + self.shortcut(x))


class Shuffle(nn.Module):
    """ShuffleNetV2's unit."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.splits = stride == 1
        width = half if self.splits else inputs
        self.shortcut = nn.Identity()
        if not self.splits:
            self.shortcut = nn.Sequential(unit(inputs, inputs, 3, stride, groups=inputs, act=None), unit(inputs, half))
        self.branch = nn.Sequential(
            unit(width, half), unit(half, half, 3, stride, groups=half, act=None), unit(half, half)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        passed, filtered = x.chunk(2, 1) if self.splits else (x, x)
        x = torch.cat([self.shortcut(passed), self.branch(filtered)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def classifier(layers: list[nn.Module], channels: int, dropout: float = 0.0) -> nn.Sequential:
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, *head, nn.Linear(channels, 10))


def scaled(channels: int, width: float) -> int:
    """`channels * width` as a multiple of 8, and not below nine tenths of it."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


def mobilenet_v2(*, width: float = 1.0, small_images: bool = True) -> nn.Module:
    early_stride = 1 if small_images else 2
    channels = scaled(32, width)
    layers: list[nn.Module] = [unit(3, channels, 3, early_stride, act=nn.ReLU6)]
    for ratio, outputs, blocks, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, early_stride), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        outputs = scaled(outputs, width)
        for number in range(blocks):
            stride, hidden = first_stride if number == 0 else 1, channels * ratio
            branch = nn.Sequential(
                *([unit(channels, hidden, act=nn.ReLU6)] if ratio > 1 else []),
                unit(hidden, hidden, 3, stride, groups=hidden, act=nn.ReLU6),
                unit(hidden, outputs, act=None),
            )
            is_residual = stride == 1 and channels == outputs
            layers.append(Sum(branch, nn.Identity(), nn.Identity()) if is_residual else branch)
            channels = outputs
    return classifier([*layers, unit(channels, 1280, act=nn.ReLU6)], 1280, dropout=0.2)


def shufflenet_v2(stages: tuple[int, int, int] = (116, 232, 464)) -> nn.Module:
    layers: list[nn.Module] = [unit(3, 24, 3)]
    channels = 24
    for outputs, blocks in zip(stages, (4, 8, 4), strict=True):
        for number in range(blocks):
            layers.append(Shuffle(channels, outputs, 2 if number == 0 else 1))
            channels = outputs
    return classifier([*layers, unit(channels, 1024)], 1024)


def residual(branch: list[nn.Module], inputs: int, outputs: int, stride: int) -> Sum:
    is_identity = stride == 1 and inputs == outputs
    shortcut = nn.Identity() if is_identity else unit(inputs, outputs, 1, stride, act=None)
    return Sum(nn.Sequential(*branch), shortcut, nn.ReLU(inplace=True))


def resnext29() -> nn.Module:
    """Cardinality 2, group width 64."""
    layers: list[nn.Module] = [unit(3, 64, 3)]
    channels = 64
    for number in range(3):
        hidden, outputs = 128 * 2**number, 256 * 2**number
        for block in range(3):
            stride = 2 if number and block == 0 else 1
            branch = [
                unit(channels, hidden),
                unit(hidden, hidden, 3, stride, groups=2),
                unit(hidden, outputs, act=None),
            ]
            layers.append(residual(branch, channels, outputs, stride))
            channels = outputs
    return classifier(layers, channels)


def dilated_resnet() -> nn.Module:
    layers: list[nn.Module] = [unit(3, 32, 3)]
    channels = 32
    for outputs, first_stride, dilation in ((32, 1, 1), (64, 2, 1), (128, 2, 1), (128, 1, 2), (128, 1, 4)):
        for block in range(2):
            stride = first_stride if block == 0 else 1
            branch = [
                unit(channels, outputs, 3, stride, dilation=dilation),
                unit(outputs, outputs, 3, dilation=dilation, act=None),
            ]
            layers.append(residual(branch, channels, outputs, stride))
            channels = outputs
    return classifier(layers, channels)


def resnet18(*, small_images: bool = True) -> nn.Module:
    layers: list[nn.Module] = [unit(3, 64, 3)] if small_images else [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for number in range(4):
        outputs = 64 * 2**number
        for block in range(2):
            stride = 2 if number and block == 0 else 1
            branch = [unit(channels, outputs, 3, stride), unit(outputs, outputs, 3, act=None)]
            layers.append(residual(branch, channels, outputs, stride))
            channels = outputs
    return classifier(layers, channels)


def separable(inputs: int, outputs: int, act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, 1, 1, 1, inputs, bias=False), unit(inputs, outputs, act=act))


def xception() -> nn.Module:
    layers: list[nn.Module] = [unit(3, 32, 3), unit(32, 64, 3)]
    channels = 64
    for widths, stride in (
        ((128, 128), 1), ((256, 256), 2), ((728, 728), 2), *[((728, 728, 728), 1)] * 8, ((728, 1024), 2)
    ):  # fmt: skip
        # The stem's activation serves the first block too. In place, the activation would change the shortcut's input.
        branch: list[nn.Module] = [] if channels == 64 else [nn.ReLU()]
        inputs, outputs = channels, widths[-1]
        for number, width in enumerate(widths, start=1):
            branch.append(separable(channels, width, nn.ReLU if number < len(widths) else None))
            channels = width
        branch += [nn.MaxPool2d(3, stride, 1)] if stride > 1 else []
        is_identity = stride == 1 and inputs == outputs
        shortcut = nn.Identity() if is_identity else unit(inputs, outputs, 1, stride, act=None)
        layers.append(Sum(nn.Sequential(*branch), shortcut, nn.Identity()))
    return classifier([*layers, separable(1024, 1536), separable(1536, 2048)], 2048, dropout=0.5)


def mobilenet_v4_conv_small() -> nn.Module:
    layers: list[nn.Module] = [unit(3, 32, 3), unit(32, 32, 3), unit(32, 32), unit(32, 96, 3, 2), unit(96, 64)]
    channels = 64
    for start, middle, hidden, outputs, stride in (
        (5, 5, 192, 96, 2), *[(None, 3, 192, 96, 1)] * 4, (3, None, 384, 96, 1),
        (3, 3, 576, 128, 2), (5, 5, 512, 128, 1), (None, 5, 512, 128, 1), (None, 5, 384, 128, 1),
        *[(None, 3, 512, 128, 1)] * 2,
    ):  # fmt: skip
        branch = nn.Sequential(
            *([unit(channels, channels, start, groups=channels, act=None)] if start else []),
            unit(channels, hidden),
            *([unit(hidden, hidden, middle, stride, groups=hidden)] if middle else []),
            unit(hidden, outputs, act=None),
        )
        is_residual = stride == 1 and channels == outputs
        layers.append(Sum(branch, nn.Identity(), nn.Identity()) if is_residual else branch)
        channels = outputs
    pooled = [nn.AdaptiveAvgPool2d(1), unit(960, 1280), nn.Flatten(), nn.Dropout(0.3), nn.Linear(1280, 10)]
    return nn.Sequential(*layers, unit(128, 960), *pooled)


NETS: dict[int, dict[str, Callable[[], nn.Module]]] = {  # by the pixels a side of their images
    32: {
        "mobilenet_v2": mobilenet_v2,
        "mobilenet_v2_x0_35": partial(mobilenet_v2, width=0.35),
        "mobilenet_v4_conv_small": mobilenet_v4_conv_small,
        "shufflenet_v2_x0_5": partial(shufflenet_v2, (48, 96, 192)),
        "shufflenet_v2_x1_0": shufflenet_v2,
        "xception": xception,
        "resnet18": resnet18,
        "resnext29_2x64d": resnext29,
        "dilated_resnet": dilated_resnet,
    },
    224: {
        "mobilenet_v2": partial(mobilenet_v2, small_images=False),
        "resnet18": partial(resnet18, small_images=False),
    },
}
