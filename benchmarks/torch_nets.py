"""The benchmarked nets in PyTorch, in their 32×32 form, layer by layer as in `zoo.models`."""

from __future__ import annotations

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


def classifier(layers: list[nn.Module], channels: int) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [unit(3, 32, 3, act=nn.ReLU6)]
    channels = 32
    for ratio, outputs, blocks, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
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
    return classifier([*layers, unit(channels, 1280, act=nn.ReLU6), nn.Dropout(0.2)], 1280)


def shufflenet_v2() -> nn.Module:
    layers: list[nn.Module] = [unit(3, 24, 3)]
    channels = 24
    for outputs, blocks in ((116, 4), (232, 8), (464, 4)):
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


NETS = {
    "mobilenet_v2": mobilenet_v2,
    "shufflenet_v2_x1_0": shufflenet_v2,
    "resnext29_2x64d": resnext29,
    "dilated_resnet": dilated_resnet,
}
