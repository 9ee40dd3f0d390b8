"""Whole nets under the shipped lowerings: every gradient is the one that XLA's own convolutions give."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.ops import force_lowering
from zoo.ops.lowering import select


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "batch", "lowerings"),
    [
        ("mobilenet_v1_x0_25", {"small_images": True}, 4, {"dense", "depthwise", "pointwise"}),
        ("resnext29_2x64d", {"cardinality": 4, "group_width": 4}, 4, {"dense", "grouped", "pointwise"}),
        ("dilated_resnet", {"width": 0.25}, 16, {"dense", "pointwise"}),
    ],
)  # fmt: skip
def test_gradients_of_all_parameters_are_those_of_native_convolutions(
    name, options, batch, lowerings, float64, monkeypatch
):
    model = zoo.create_model(name, num_classes=5, **options, dtype=jnp.float64, param_dtype=jnp.float64)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    images = jax.random.normal(jax.random.key(1), (batch, 8, 8, 3), jnp.float64)

    def gradient():
        def loss(params, images):
            logits = nnx.merge(graph, params, rest, copy=True)(images)
            return (logits * jnp.arange(1.0, 6)).sum()  # linear, because logits are rounded to float32

        return nnx.to_flat_state(jax.jit(jax.grad(loss))(params, images))

    choices, choose = [], select.select
    monkeypatch.setattr(select, "select", lambda *arguments: choices.append(choose(*arguments)) or choices[-1])
    ours = gradient()
    assert {choice.lowering for choice in choices} == lowerings
    with force_lowering("native"):
        native = gradient()
    largest = max(np.abs(leaf[...]).max() for _, leaf in native)
    for (path, a), (_, b) in zip(ours, native, strict=True):
        np.testing.assert_allclose(a[...], b[...], rtol=1e-6, atol=1e-9 * largest, err_msg=str(path))
