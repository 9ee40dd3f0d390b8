"""PyTorch's half of the benchmarks: a process that builds what it is told to and times it when asked.

Runs in any environment with torch, needs nothing of this project, and speaks JSON, one object a line:
`{"build": name, "kind": kind, ...}` answers `{"built": name}`, `{"time": name}` answers `{"seconds": ...}`, and
`{"cost": net, "size": size}` answers `{"parameters": ..., "macs": ...}`.
`benchmarks/peer.py` is the other end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch_nets import NETS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def place(x: torch.Tensor, dtype: str) -> torch.Tensor:
    return x.to(DEVICE, getattr(torch, dtype)).contiguous(memory_format=torch.channels_last)


def convolution(
    direction: str, x: list[int], kernel: list[int], dtype: str, options: dict[str, Any]
) -> Callable[[], Any]:
    """A convolution (x as N, H, W, C and kernel as H, W, C/g, O in shape), or one of its gradients."""
    images = place(torch.randn(x[0], x[3], x[1], x[2]), dtype)
    weights = place(torch.randn(kernel[3], kernel[2], kernel[0], kernel[1]), dtype)
    stride, padding, dilation, groups = (options[name] for name in ("stride", "padding", "dilation", "groups"))
    transposed = options["transposed"]
    if transposed:
        weights = place(torch.randn(kernel[2], kernel[3], kernel[0], kernel[1]), dtype)

    def forward() -> torch.Tensor:
        if transposed:
            return nn.functional.conv_transpose2d(images, weights, None, stride, padding, 0, groups, dilation)
        return nn.functional.conv2d(images, weights, None, stride, padding, dilation, groups)

    if direction == "forward":
        return forward
    cotangent = torch.randn_like(forward())
    wanted = [direction == "input_gradient", direction == "kernel_gradient", False]

    def gradient() -> Any:
        return torch.ops.aten.convolution_backward(
            cotangent, images, weights, None, [stride] * 2, [padding] * 2, [dilation] * 2, transposed, [0, 0], groups,
            wanted,
        )  # fmt: skip

    return gradient


def cost(net: str, size: int) -> dict[str, int]:
    """Parameters of a net, and its multiply-accumulates for one image, those of convolutions and linear layers."""
    model = NETS[size][net]().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, size, size))
    return {"parameters": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2}


def training(net: str, size: int, batch: int, dtype: str, compiled: bool) -> Callable[[], Any]:
    """Steps of SGD with Nesterov momentum on one batch of random images; called with the number of steps."""
    model = NETS[size][net]().to(DEVICE, memory_format=torch.channels_last).train()
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    images, labels = place(torch.randn(batch, 3, size, size), "float32"), torch.randint(0, 10, (batch,), device=DEVICE)

    def steps(count: int = 1) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            with torch.autocast(DEVICE, torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = nn.functional.cross_entropy(forward(images), labels)
            loss.backward()
            optimizer.step()
        loss.item()

    return steps


def inference(net: str, size: int, batch: int, dtype: str, compiled: bool) -> Callable[[], Any]:
    model = NETS[size][net]().to(DEVICE, memory_format=torch.channels_last).eval()
    forward = torch.compile(model) if compiled else model
    images = place(torch.randn(batch, 3, size, size), "float32")

    @torch.inference_mode()
    def predict() -> Any:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=dtype == "bfloat16"):
            return forward(images)

    return predict


def decoding(directory: str, size: int, batch: int, workers: int) -> Callable[[int], None]:
    """Batches of uint8 pictures of a folder, resized and cropped by torchvision; called with the number of batches."""
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import datasets, transforms

    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()]
    folder = datasets.ImageFolder(directory, transforms.Compose(steps))
    endless = RandomSampler(folder, replacement=True, num_samples=2**40)
    batches = iter(DataLoader(folder, batch, sampler=endless, num_workers=workers))

    def read(count: int) -> None:
        for _ in range(count):
            next(batches)

    return read


KINDS: dict[str, Callable[..., Callable[..., Any]]] = {
    "decoding": decoding,
    "convolution": convolution,
    "training": training,
    "inference": inference,
}


def main() -> None:
    thunks: dict[str, Callable[..., Any]] = {}
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "device": DEVICE}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "build" in request:
            name, kind = request.pop("build"), request.pop("kind")
            thunks[name] = KINDS[kind](**request)
            answer: dict[str, Any] = {"built": name}
        elif "cost" in request:
            answer = cost(request["cost"], request["size"])
        else:
            thunk = thunks[request.pop("time")]
            started = time.perf_counter()
            thunk(**request)
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            answer = {"seconds": time.perf_counter() - started}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
