"""The recipe of the table in docs/results.md in PyTorch, on the same images: what a run here is compared with.

    uv run python benchmarks/cifar10.py images --directory DIR images.npz
    PYTHON benchmarks/torch_train.py benchmarks/results/cifar10/table/NAME images.npz OUTPUT

`PYTHON` is an interpreter with torch and NumPy; nothing of this project is needed. The config is that of a run here,
and what it asks for is done in the same way: initialisation, order, crops and flips, smoothing, schedule, and weight
decay of kernels only. `OUTPUT` gets `config.json`, `environment.json`, `data.json` and `metrics.jsonl`, as a run here.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch_nets import NETS


def initialise(model: nn.Module) -> None:
    """Normal of variance 2 / fan-out for kernels, fan-out counting all groups, and 0 for biases, as here."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def crop_and_flip(images: torch.Tensor, padding: int) -> torch.Tensor:
    """Crops images (N, C, H, W), each at a random place of itself with a border of zeros; mirrors half of them."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, (padding,) * 4)
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, count))
    rows = tops[:, None] + torch.arange(height)
    columns = lefts[:, None] + torch.arange(width)
    columns = torch.where(torch.rand(count)[:, None] < 0.5, columns.flip(1), columns)
    return padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    rising = round(warmup * steps)
    if step < rising:
        return peak * step / rising
    return peak * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


@torch.inference_mode()
def evaluate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    model.eval()
    logits = torch.cat([model(part) for part in images.split(500)])
    model.train()
    loss = nn.functional.cross_entropy(logits, labels)
    return loss.item(), (logits.argmax(1) == labels).float().mean().item()


def require_known(config: dict[str, Any]) -> None:
    """Raises ValueError if a config asks for what is not done here."""
    optimizer, augment = config["optimizer"], config["augment"]
    known: dict[str, tuple[Any, Any]] = {
        "optimizer.name": (optimizer["name"], "sgd"),
        "optimizer.schedule": (optimizer["schedule"], "cosine"),
        "optimizer.gradient_clip": (optimizer["gradient_clip"], None),
        "augment": ({key for key, value in augment.items() if value} - {"crop_padding", "flip"}, set()),
        "ema_decay": (config["ema_decay"], None),
        "model.dropout": (config["model"]["dropout"], 0.0),
    }
    for name, (value, expected) in known.items():
        if value != expected:
            raise ValueError(f"{name} must be {expected!r} here, not {value!r}")


def main(run: Path, images: Path, output: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    require_known(config)
    torch.manual_seed(config["seed"])
    arrays = np.load(images)
    mean, std = (torch.tensor(arrays[name]).view(1, 3, 1, 1) for name in ("mean", "std"))

    def prepared(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[name]).permute(0, 3, 1, 2)

    def normalised(batch: torch.Tensor) -> torch.Tensor:
        return ((batch.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    train, train_labels = prepared("train_images"), torch.from_numpy(arrays["train_labels"]).long()
    test, test_labels = normalised(prepared("test_images")), torch.from_numpy(arrays["test_labels"]).long()
    model = NETS[32][config["model"]["name"]]().to(memory_format=torch.channels_last).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    initialise(model)
    optimizer_config, batch = config["optimizer"], config["batch_size"]
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": optimizer_config["weight_decay"]}, {"params": others}],
        lr=0.1,
        momentum=optimizer_config["momentum"],
        nesterov=True,
    )
    steps_per_epoch = len(train) // batch
    steps = config["epochs"] * steps_per_epoch
    output.mkdir(parents=True)
    for name in ("config.json", "data.json"):
        shutil.copy(run / name, output / name)
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu_count": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
    }
    (output / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
    step = 0
    for epoch in range(1, config["epochs"] + 1):
        order, started, losses, correct = torch.randperm(len(train)), time.perf_counter(), 0.0, 0
        for number in range(steps_per_epoch):
            rate = learning_rate(step, steps, optimizer_config["learning_rate"], optimizer_config["warmup"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = order[number * batch : (number + 1) * batch]
            inputs = normalised(crop_and_flip(train[chosen], config["augment"]["crop_padding"]))
            labels = train_labels[chosen]
            optimizer.zero_grad()
            logits = model(inputs)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=config["label_smoothing"])
            loss.backward()
            optimizer.step()
            losses += loss.item()
            correct += (logits.argmax(1) == labels).sum().item()
            step += 1
        seconds = time.perf_counter() - started
        test_loss, test_accuracy = evaluate(model, test, test_labels)
        figures = {
            "step": step,
            "epoch": epoch,
            "learning_rate": rate,
            "train_loss": losses / steps_per_epoch,
            "train_accuracy": correct / (steps_per_epoch * batch),
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "images_per_second": steps_per_epoch * batch / seconds,
            "seconds": seconds,
        }
        with (output / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(figures) + "\n")
        print(f"epoch {epoch}: test accuracy {test_accuracy:.2%}", flush=True)
    torch.save(model.state_dict(), output / "weights.pth")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
