"""What tuning decides, by a made clock."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import pytest

from zoo import ops
from zoo.ops.lowering.geometry import ConvGeometry, Problem
from zoo.ops.lowering.measured import Measurement, Measurements, StepTimes, device_of, use_measurements
from zoo.ops.lowering.select import FOR_ACCELERATORS, LOWERINGS
from zoo.tuning import tune as module
from zoo.tuning.step import Step, convolutions_of
from zoo.tuning.tune import candidates, choice_of_rules, measure, tune

DENSE = Problem(
    ConvGeometry((8, 8), 4, (3, 3, 4, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), 1), "forward", 2, jnp.dtype("float32")
)
POINTWISE = DENSE._replace(geometry=ConvGeometry((8, 8), 4, (1, 1, 4, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1))


@pytest.fixture(autouse=True)
def quick_and_of_few_lowerings(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0)
    few = {name: LOWERINGS[name] for name in ("native", "pointwise", "winograd", "dense")}
    monkeypatch.setattr(module, "LOWERINGS", few)


@dataclass
class MadeClock:
    """Gives each lowering the seconds it is told to, with a noise of some share of them.

    Attributes:
        seconds: lowering -> seconds; an exception is raised.
        noise: largest deviation, as a share.
        glances: lowering -> seconds at first sight.
        calls: how often each was timed.
    """

    seconds: dict
    noise: float = 0.01
    glances: dict = field(default_factory=dict)
    calls: Counter = field(default_factory=Counter)

    def glance(self, problem, lowering):
        return self.glances.get(lowering)

    def prepare(self, problem, lowering):
        seconds = self.seconds[lowering]
        if isinstance(seconds, Exception):
            raise seconds

        def timer():
            self.calls[lowering] += 1
            return seconds * (1 + self.noise * (-1, 0.3, 1, -0.2, 0.6)[self.calls[lowering] % 5])

        return timer


def test_the_lowering_that_beats_the_rules_is_chosen():
    found = measure(DENSE, "cpu", MadeClock({"dense": 2.0, "winograd": 1.0, "native": 3.0}))
    assert found.chosen == "winograd"
    assert found.seconds == pytest.approx({"dense": 2.0, "winograd": 1.0, "native": 3.0}, rel=0.01)
    assert found.reason == "measured on this device, 3.0 × native"


@pytest.mark.parametrize(
    ("seconds", "noise"),
    [
        ({"dense": 1.0, "winograd": 1.2, "native": 1.4}, 0.01),  # the rules are right
        ({"dense": 1.04, "winograd": 1.0, "native": 1.4}, 0.0),  # too little to matter
        ({"dense": 1.2, "winograd": 1.0, "native": 1.4}, 0.3),  # less than the noise
    ],
)
def test_the_rules_stay_where_nothing_wins_by_more_than_noise(seconds, noise):
    assert measure(DENSE, "cpu", MadeClock(seconds, noise)).chosen is None


def test_what_is_hopeless_is_not_timed_further():
    clock = MadeClock({"dense": 1.0, "winograd": 1.1, "native": 9.0})
    assert measure(DENSE, "cpu", clock).seconds["native"] == pytest.approx(9.0, rel=0.01)
    assert clock.calls["native"] == 1 < clock.calls["winograd"]


def test_what_a_glance_shows_to_be_slower_is_not_even_compiled():
    clock = MadeClock({"dense": 1.0, "winograd": 1.1, "native": AssertionError()}, glances={"native": 1.05})
    assert measure(DENSE, "cpu", clock).seconds["native"] == 1.05
    clock = MadeClock({"dense": 1.0, "winograd": 1.1, "native": 0.8}, glances={"native": 0.7})
    assert measure(DENSE, "cpu", clock).chosen == "native"


def test_what_is_for_accelerators_is_not_tried_on_a_cpu(monkeypatch):
    monkeypatch.setattr(module, "LOWERINGS", LOWERINGS)
    depthwise = DENSE._replace(geometry=ConvGeometry((8, 8), 4, (3, 3, 1, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), 4))
    on_cpu, on_tpu = (set(candidates(depthwise, platform)) for platform in ("cpu", "tpu"))
    assert on_cpu == {"native", "depthwise", "grouped"}
    assert on_tpu - on_cpu == FOR_ACCELERATORS


def test_a_lowering_that_fails_is_left_out_with_a_line():
    clock = MadeClock({"dense": RuntimeError("RESOURCE_EXHAUSTED: memory\nmore"), "winograd": 1.0, "native": 2.0})
    with pytest.warns(UserWarning, match="^dense is left out for 3x3 4->4 8px forward: RESOURCE_EXHAUSTED: memory$"):
        found = measure(DENSE, "cpu", clock)
    assert (found.chosen, found.seconds["dense"]) == ("winograd", math.inf)


def step(by_rules=2.0, as_measured=1.0):
    """A step of two convolutions; it takes `by_rules` unless one of them has another lowering."""

    def compile_step():
        x, kernel = jax.ShapeDtypeStruct((2, 8, 8, 4), "float32"), jax.ShapeDtypeStruct((1, 1, 4, 4), "float32")
        arguments = (x, kernel, (1, 1), "VALID", None, None, ("NHWC", "HWIO", "NHWC"))
        seconds = by_rules if ops.explain(*arguments, platform="cpu").lowering == "pointwise" else as_measured
        return lambda: seconds

    return Step(True, {DENSE: 1, POINTWISE: 2}, compile_step)


@pytest.fixture
def here():
    return Measurements(str(device_of("cpu")))


CLOCK = {"dense": 1.0, "winograd": 1.5, "pointwise": 2.0, "native": 3.0}


def test_what_wins_is_kept_if_the_whole_step_is_faster(here):
    table = tune(step(), here, "cpu", MadeClock(CLOCK))
    assert (table.of[DENSE].chosen, table.of[POINTWISE].chosen) == (None, "dense")
    assert list(table.steps.values()) == [StepTimes(2.0, 1.0, True)]


def test_what_wins_one_by_one_is_not_kept_if_the_whole_step_is_not_faster(here):
    table = tune(step(as_measured=2.0), here, "cpu", MadeClock(CLOCK))
    assert [found.chosen for found in table.of.values()] == [None, None]
    assert table.of[POINTWISE].seconds["dense"] == pytest.approx(1.0, rel=0.01)
    (times,) = table.steps.values()
    assert times == StepTimes(2.0, 2.0, False)
    assert times.describe("step").endswith("2000 ms with the lowerings that win one by one: not faster by more than "
                                           "noise, and the rules stay")  # fmt: skip


def test_a_step_that_fails_with_what_wins_stays_with_the_rules(here):
    def compile_step():
        seconds = step(as_measured=0.0).compile()()
        return lambda: seconds if seconds else jnp.ones(-1)

    with pytest.warns(UserWarning, match="^the whole step fails with what wins one by one: "):
        table = tune(replace(step(), compile=compile_step), here, "cpu", MadeClock(CLOCK))
    assert [found.chosen for found in table.of.values()] == [None, None]


def test_what_was_measured_is_not_measured_again_unless_it_is_asked_for(here):
    table = tune(step(), here, "cpu", MadeClock(CLOCK))
    assert tune(step(), table, "cpu", MadeClock({})) is table
    again = tune(step(), table, "cpu", MadeClock(CLOCK | {"dense": 2.5, "winograd": 3.0}), again=True)
    assert again.of[POINTWISE].chosen is None
    assert list(again.steps.values()) == [StepTimes(2.0, None, False)]


def test_a_new_lowering_is_measured(here, monkeypatch):
    table = tune(step(), here, "cpu", MadeClock(CLOCK))
    for lowerings in (LOWERINGS, module.LOWERINGS):
        monkeypatch.setitem(lowerings, "fft", LOWERINGS["native"])
    table = tune(step(), table, "cpu", MadeClock(CLOCK | {"fft": 0.5}))
    assert [found.chosen for found in table.of.values()] == ["fft", "fft"]


def test_a_step_that_loses_its_lowerings_to_another_one_is_timed_again(here):
    table = tune(step(), here, "cpu", MadeClock(CLOCK))
    smaller = Step(True, {POINTWISE: 1}, step(as_measured=2.0).compile)
    table = tune(smaller, table, "cpu", MadeClock({}))
    assert table.of[POINTWISE].chosen is None
    assert list(table.steps) == [smaller.fingerprint]


def test_the_convolutions_of_a_program_are_found_and_counted():
    def convolve(x, kernel):
        return ops.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    @jax.jit
    def program(x, kernel):
        y = jax.lax.scan(lambda x, _: (convolve(x, kernel), None), x, None, length=3)[0]
        with ops.force_lowering("dense"):
            y = convolve(y, kernel)
        return jax.checkpoint(jax.jit(convolve))(y, kernel).sum()

    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((4, 8, 8, 4), (3, 3, 4, 4))]
    assert convolutions_of(jax.make_jaxpr(program)(*shapes).jaxpr, devices=2) == {DENSE: 4}
    gradients = convolutions_of(jax.make_jaxpr(jax.grad(program, 1))(*shapes).jaxpr)
    assert {problem.direction: problem.batch for problem in gradients} == dict.fromkeys(
        ("forward", "input_gradient", "kernel_gradient"), 4
    )


def test_the_choice_of_the_rules_does_not_depend_on_what_was_measured(here):
    with use_measurements(Measurements(here.device, of={POINTWISE: Measurement({"dense": 1.0}, "dense")})):
        assert choice_of_rules(POINTWISE, "cpu") == "pointwise"
