"""What the compiled training step of each kind of net exchanges between devices, and what each of them computes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.analysis import Exchange, exchanges
from zoo.data.dataset import ArraySplit, Dataset
from zoo.models._classifier import ImageClassifier
from zoo.ops.lowering import winograd
from zoo.training.config import OptimizerConfig, TrainConfig
from zoo.training.devices import Devices
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Trainer

BATCH = 256
NETS = {  # a net for each lowering
    "mobilenet_v2": {"width": 0.35, "small_images": True},
    "shufflenet_v2_x0_5": {"small_images": True},
    "resnext29_2x64d": {"cardinality": 8, "group_width": 8},
    "dilated_resnet": {"width": 0.5},
    "xception": {"small_images": True},
}


@pytest.fixture(scope="module", autouse=True)
def as_many_parts_on_any_number_of_devices():
    """XLA counts the body of a loop once, so that only loops of the same length can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_parts", lambda *_: 2)
        yield


class Step(NamedTuple):
    """A compiled training step."""

    exchanges: list[Exchange]
    flops: float  # of one device
    memory: int  # temporary, of one device


@cache
def compile_step(name: str, devices: int, **changes: Any) -> tuple[Step, list[tuple[int, ...]]]:
    """The step for a batch of `BATCH`, and the shapes of the net's parameters."""
    config = replace(TrainConfig(batch_size=BATCH), **changes)
    split = ArraySplit(np.zeros((BATCH, 32, 32, 3), np.uint8), np.zeros(BATCH, np.int32))
    dataset = Dataset("black", tuple("0123456789"), 32, split, split, (0.5,) * 3, (0.25,) * 3)
    model = zoo.create_model(name, num_classes=10, **NETS[name])
    leave_out_repeated_blocks(model)
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 100))
    trainer, state = Trainer.create(config, model, dataset, optimizer, Devices.find(devices))
    state = trainer.place(state)
    compiled = trainer.lower_step(state, 32).compile()
    memory = compiled.memory_analysis().temp_size_in_bytes
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.params)]
    return Step(exchanges(compiled), compiled.cost_analysis()["flops"], memory), shapes


def leave_out_repeated_blocks(model: ImageClassifier) -> None:
    """They would exchange and compute the same again, and take as long to compile."""

    def shapes(block: nnx.Module) -> list[tuple[int, ...]]:
        return [leaf.shape for leaf in jax.tree.leaves(nnx.state(block, nnx.Param))]

    for stage in model.stages:
        for number in reversed(range(1, len(stage))):
            if shapes(stage[number]) == shapes(stage[number - 1]):
                del stage[number]


@pytest.mark.parametrize(
    "name", [name if name == "dilated_resnet" else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_no_activation_crosses_devices_and_each_does_its_share(name):
    one, _ = compile_step(name, 1)
    eight, parameters = compile_step(name, 8)
    assert one.exchanges == []
    assert {exchange.operation for exchange in eight.exchanges} == {"all-reduce"}
    assert max(exchange.elements for exchange in eight.exchanges) <= max(map(math.prod, parameters))
    # All gradients, twice two sums of each batch norm, and the loss; nothing is exchanged twice.
    gradients, channels = sum(map(math.prod, parameters)), sum(shape[0] for shape in parameters if len(shape) == 1)
    assert gradients <= sum(exchange.elements for exchange in eight.exchanges) <= gradients + 2 * channels + 100
    assert eight.flops / (one.flops / 8) == pytest.approx(1, abs=0.1)
    assert eight.memory / (one.memory / 8) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_recomputed_blocks_exchange_nothing_more_and_take_less_memory():
    plain, _ = compile_step("dilated_resnet", 8)
    again, _ = compile_step("dilated_resnet", 8, remat="blocks")
    assert Counter(again.exchanges) == Counter(plain.exchanges)
    assert again.memory < 0.75 * plain.memory


@pytest.mark.slow
def test_norms_per_device_exchange_no_sums_of_the_batch_but_for_their_running_statistics():
    per_device, parameters = compile_step("dilated_resnet", 8, batch_norm="per-device")
    assert {exchange.operation for exchange in per_device.exchanges} == {"all-reduce"}
    assert max(exchange.elements for exchange in per_device.exchanges) <= max(map(math.prod, parameters))


@pytest.mark.slow
def test_a_split_optimizer_exchanges_parameters_alone():
    step, parameters = compile_step("dilated_resnet", 8, optimizer=OptimizerConfig(split_state=True))
    assert {exchange.operation for exchange in step.exchanges} <= {"all-reduce", "reduce-scatter", "all-gather"}
    assert max(exchange.elements for exchange in step.exchanges) <= max(map(math.prod, parameters))
