"""What a training step exchanges between devices, and what memory it takes of each; read off compiled programs.

    uv run python benchmarks/scaling.py [--devices 8] [--examples 64] [--nets ...]

The devices may be simulated: nothing is run. An all-reduce of B bytes over n devices sends and receives 2 B (n - 1) / n
of them on each, so the milliseconds are what the exchange of a step takes at a bandwidth if it overlaps with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import tyro
from peer import Table, machine

from zoo.analysis import exchanges
from zoo.data.dataset import ArraySplit, Dataset
from zoo.registry import create_model, model_info
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

BANDWIDTHS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9, "450 GB/s": 450e9}  # bytes a second, in each direction
MEMORY: dict[str, dict[str, Any]] = {
    "plain": {},
    "--remat blocks": {"remat": "blocks"},
    "--gradient-accumulation 4": {"gradient_accumulation": 4},
    "both": {"remat": "blocks", "gradient_accumulation": 4},
}


@dataclass(frozen=True)
class Options:
    """Reads exchanges and memory off the compiled training steps of nets at 32×32."""

    nets: tuple[str, ...] = ("mobilenet_v2", "shufflenet_v2_x1_0", "resnext29_2x64d", "dilated_resnet", "xception")
    """Which nets."""
    devices: int = 8
    """How many devices exchange."""
    examples: int = 64
    """Examples of a step on each device."""


def compile_step(name: str, devices: Devices, examples: int, **changes: Any) -> tuple[Any, int]:
    """The compiled step, and the bytes of the parameters."""
    config = replace(TrainConfig(batch_size=examples * devices.count), **changes)
    split = ArraySplit(np.zeros((config.batch_size, 32, 32, 3), np.uint8), np.zeros(config.batch_size, np.int32))
    dataset = Dataset("black", tuple("0123456789"), 32, split, split, (0.5,) * 3, (0.25,) * 3)
    small: dict[str, Any] = {} if model_info(name).input_size == 32 else {"small_images": True}
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 100))
    trainer, state = Trainer.create(config, create_model(name, num_classes=10, **small), dataset, optimizer, devices)
    state = trainer.place(state)
    compiled = trainer.lower_step(state, 32).compile()
    return compiled, sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))


def main() -> None:
    options = tyro.cli(Options)
    jax.config.update("jax_num_cpu_devices", options.devices)
    devices = Devices.find(options.devices)
    print(f"{machine(None)}; {devices.describe()}, {options.examples} examples on each, float32, 32x32 pixels\n")
    sent = Table("net", "parameters, MB", "exchanges", "MB a step", *(f"ms at {name}" for name in BANDWIDTHS))
    memory = Table("net, MB on each device", *MEMORY)
    for name in options.nets:
        compiled, parameters = compile_step(name, devices, options.examples)
        found = exchanges(compiled)
        size = sum(exchange.bytes for exchange in found)
        moved = 2 * size * (devices.count - 1) / devices.count
        times = [f"{1e3 * moved / bandwidth:.2f}" for bandwidth in BANDWIDTHS.values()]
        sent.add(name, f"{parameters / 1e6:.1f}", str(len(found)), f"{size / 1e6:.1f}", *times)
        steps = [compile_step(name, devices, options.examples, **changes)[0] for changes in MEMORY.values()]
        memory.add(name, *(f"{step.memory_analysis().temp_size_in_bytes / 1e6:.0f}" for step in steps))
    sent.print()
    memory.print()


if __name__ == "__main__":
    main()
