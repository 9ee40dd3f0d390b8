"""Lowerings that were measured on a device: when they are taken, and what becomes of their file."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from zoo import ops
from zoo.ops.lowering import measured, select
from zoo.ops.lowering.geometry import ConvGeometry, Problem
from zoo.ops.lowering.measured import (
    Measurement,
    Measurements,
    StepTimes,
    UnusableTableError,
    device_of,
    read_user_table,
    use_measurements,
    user_table_path,
    write_user_table,
)
from zoo.ops.lowering.select import LOWERINGS
from zoo.training.devices import Devices

NHWC = ("NHWC", "HWIO", "NHWC")
GEOMETRY = ConvGeometry((5, 5), 8, (1, 1, 8, 4), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
POINTWISE = Problem(GEOMETRY, "forward", 2, jnp.dtype("float32"))
X, KERNEL = jax.ShapeDtypeStruct((2, 5, 5, 8), "float32"), jax.ShapeDtypeStruct((1, 1, 8, 4), "float32")
HERE = str(device_of("cpu"))


def convolve(x, kernel):
    return ops.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=NHWC)


def explain(batch=2, dtype="float32", **options):
    x, kernel = jax.ShapeDtypeStruct((batch, 5, 5, 8), dtype), jax.ShapeDtypeStruct((1, 1, 8, 4), dtype)
    return ops.explain(x, kernel, (1, 1), "VALID", dimension_numbers=NHWC, **options)


def table(chosen="dense", device=HERE, **seconds):
    return Measurements(device, of={POINTWISE: Measurement(seconds or {"dense": 1e-3, "native": 1.8e-3}, chosen)})


@pytest.fixture
def user_cache(monkeypatch, tmp_path):
    """An empty cache of the user, which is read anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured._table_of_process.cache_clear()
    yield
    measured._table_of_process.cache_clear()


def test_what_was_measured_comes_before_the_rules():
    assert explain().lowering == "pointwise"
    with use_measurements(table()):
        assert explain() == ("dense", "measured on this device, 1.8 × native")
        assert explain(platform="cpu").lowering == "dense"
        for other in ({"batch": 3}, {"dtype": "bfloat16"}, {"direction": "kernel_gradient"}):
            assert explain(**other).lowering == "pointwise"
        assert explain(platform="tpu").lowering == "native"
        with ops.force_lowering("pointwise"):
            assert explain() == ("pointwise", "forced")
    assert explain().lowering == "pointwise"


def test_the_reason_compares_with_the_best_other_lowering_where_native_wins():
    with use_measurements(table("native", native=1e-3, pointwise=1.25e-3, dense=3e-3)):
        assert explain() == ("native", "measured on this device, 1.2 × pointwise")
    with use_measurements(table("dense", native=math.inf, dense=3e-3)):
        assert explain() == ("dense", "measured on this device")


@pytest.mark.parametrize(
    "unfit", [table(device="another"), replace(table(), jax_version="0.1"), table("depthwise"), table(None)]
)
def test_the_rules_decide_where_nothing_was_measured_here_or_it_does_not_fit(unfit):
    with use_measurements(unfit):
        assert explain().lowering == "pointwise"


def test_programs_are_lowered_with_the_table_in_use():
    traced = jax.jit(convolve).trace(X, KERNEL)
    assert "stablehlo.convolution" not in traced.lower().as_text()
    with use_measurements(table()):
        assert "stablehlo.convolution" in traced.lower().as_text()
    assert "stablehlo.convolution" not in traced.lower().as_text()


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_every_platform_can_have_a_table(platform, monkeypatch):
    monkeypatch.setattr(measured, "device_of", {platform: "X9"}.get)
    monkeypatch.setattr(select, "RULES", ())
    traced = jax.jit(convolve).trace(X, KERNEL)
    with use_measurements(table("pointwise", "X9", pointwise=1.0, native=2.0)):
        programs = {p: traced.lower(lowering_platforms=(p,)).as_text() for p in ("cuda", "rocm", "tpu")}
    assert [p for p, text in programs.items() if "stablehlo.convolution" not in text] == [platform]


def test_what_counts_is_a_devices_share_of_the_examples():
    of_one = {POINTWISE._replace(batch=1): Measurement({"dense": 1.0, "native": 2.0}, "dense")}
    traced = jax.jit(convolve).trace(X, KERNEL)
    with use_measurements(Measurements(HERE, of=of_one)):
        assert "stablehlo.convolution" not in traced.lower().as_text()
        with jax.set_mesh(Devices.find(2).mesh):
            assert "stablehlo.convolution" in jax.jit(convolve).lower(X, KERNEL).as_text()


def test_a_compiled_function_is_compiled_anew_within_the_block():
    x, kernel = jnp.ones(X.shape), jnp.ones(KERNEL.shape)
    function, used = jax.jit(convolve), table()
    for _ in range(2):
        function(x, kernel)
        with use_measurements(used):
            function(x, kernel)
    assert function._cache_size() == 2


def test_the_users_table_is_taken_outside_of_any_block(user_cache):
    path = write_user_table(table(), LOWERINGS)
    assert path == user_table_path(HERE)
    assert explain().lowering == "dense"
    with use_measurements(measured.RULES_ALONE):
        assert explain().lowering == "pointwise"


def test_a_table_is_read_back_as_it_was_written():
    other = Problem(GEOMETRY, "kernel_gradient", 64, jnp.dtype("bfloat16"))
    steps = {"0123": StepTimes(0.5, None, False), "4567": StepTimes(0.5, 0.25, True)}
    written = Measurements(
        "TPU v9", of={**table().of, other: Measurement({"native": math.inf, "dense": 0.1}, None)}, steps=steps
    )
    read = Measurements.from_json(written.to_json(), LOWERINGS)
    assert (read.device, read.jax_version, read.of, read.steps) == ("TPU v9", jax.__version__, written.of, steps)
    assert list(read.choosing.of) == [POINTWISE]
    assert len(written.to_json().splitlines()) == 6  # one for each measurement


def test_what_another_problem_has_stays_when_a_table_is_written(user_cache):
    write_user_table(table(), LOWERINGS)
    other = Problem(GEOMETRY, "forward", 64, jnp.dtype("float32"))
    write_user_table(Measurements(HERE, of={other: Measurement({"native": 1.0}, None)}), LOWERINGS)
    assert set(read_user_table(HERE, LOWERINGS).of) == {POINTWISE, other}


def resealed(**changes):
    """The JSON of a table with other values and a right checksum."""
    content = json.loads(table().to_json()) | changes
    del content["sha256"]
    sum_ = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps(content | {"sha256": sum_})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (table().to_json().replace("0.001", "0.002"), "does not have its checksum"),
        (table().to_json()[:-20], "not JSON"),
        ("[]", "does not have its checksum"),
        ("", "not JSON"),
        (resealed(format=2), "it has format 2, not 1"),
        (resealed(measurements=[{"batch": 2}]), "no table of measurements"),
        (resealed(measurements=3), "no table of measurements"),
        (resealed(steps={"a": {"by_rules": 1}}), "no table of measurements"),
        (resealed(device="another"), "it is of another and JAX"),
    ],
)
def test_a_damaged_table_is_set_aside_with_a_line_and_the_rules_decide(text, reason, user_cache):
    path = user_table_path(HERE)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.warns(UserWarning, match=reason) as said:
        assert explain().lowering == "pointwise"
    assert len(said) == 1
    assert f"set aside as {path}.damaged" in str(said[0].message)
    assert [file.name for file in path.parent.iterdir()] == [f"{path.name}.damaged"]
    with warnings.catch_warnings(action="error"):
        assert explain().lowering == "pointwise"


def test_every_byte_of_a_table_counts():
    text = table().to_json()
    for place, letter in enumerate(text):
        if letter.isspace():  # between values it says nothing
            continue
        damaged = text[:place] + chr(ord(letter) ^ 1) + text[place + 1 :]
        with pytest.raises(UnusableTableError):
            Measurements.from_json(damaged, LOWERINGS)


def test_measurements_of_an_unknown_lowering_are_dropped_with_a_line():
    text = table("fft", fft=1.0, native=2.0).to_json()
    with pytest.warns(UserWarning, match="measurements that choose fft are dropped"):
        assert not Measurements.from_json(text, LOWERINGS).of
