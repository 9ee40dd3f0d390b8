"""Timing for real, on tiny convolutions."""

from __future__ import annotations

from typing import get_args

import jax
import jax.numpy as jnp
import pytest

from zoo.ops.lowering.geometry import ConvGeometry, Direction, Problem
from zoo.ops.lowering.select import LOWERINGS
from zoo.tuning import stopwatch
from zoo.tuning.stopwatch import DeviceStopwatch, operand_shapes
from zoo.tuning.tune import measure

GEOMETRY = ConvGeometry((6, 5), 4, (3, 3, 4, 8), (2, 1), ((1, 1), (1, 1)), (1, 1), 1)


@pytest.mark.parametrize("in_loop", [True, False])
def test_a_convolution_is_timed_on_the_device(in_loop):
    problem = Problem(GEOMETRY, "kernel_gradient", 2, jnp.dtype("bfloat16"))
    found = measure(problem, "cpu", DeviceStopwatch(jax.local_devices()[1], in_loop))
    assert found.seconds.keys() >= {"native", "dense"}
    assert all(0 < seconds < 1 for seconds in found.seconds.values())


@pytest.mark.parametrize("direction", get_args(Direction))
def test_every_direction_gets_operands_of_its_shapes(direction):
    problem = Problem(GEOMETRY, direction, 2, jnp.dtype("float32"))
    operands = [jax.ShapeDtypeStruct(shape, "float32") for shape in operand_shapes(problem)]
    result = jax.eval_shape(lambda a, b: getattr(LOWERINGS["dense"], direction)(a, b, GEOMETRY), *operands)
    shapes = {"forward": (2, 3, 5, 8), "input_gradient": (2, 6, 5, 4), "kernel_gradient": (3, 3, 4, 8)}
    assert result.shape == shapes[direction]


def test_only_the_native_lowering_is_glanced_at_and_only_where_a_loop_can_be_far_slower():
    problem = Problem(GEOMETRY, "forward", 2, jnp.dtype("float32"))
    device = jax.local_devices()[0]
    assert DeviceStopwatch(device, in_loop=True).glance(problem, "dense") is None
    assert DeviceStopwatch(device, in_loop=False).glance(problem, "native") is None
    seconds = DeviceStopwatch(device, in_loop=True).glance(problem, "native")
    assert seconds is not None
    assert 0 < seconds < 1


def test_a_program_that_would_take_long_to_compile_is_refused(monkeypatch):
    monkeypatch.setattr(stopwatch, "_LONGEST_PROGRAM", 10)
    problem = Problem(GEOMETRY, "forward", 2, jnp.dtype("float32"))
    with pytest.raises(RuntimeError, match="lines would take long to compile"):
        DeviceStopwatch(jax.local_devices()[0], in_loop=True).prepare(problem, "dense")
