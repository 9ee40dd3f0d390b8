from __future__ import annotations

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests.quick import output_of, randomise
from zoo.analysis.cost import cost_tree
from zoo.analysis.receptive_field import receptive_fields
from zoo.blocks import (
    BatchNorm,
    Conv,
    ConvNormAct,
    ConvTranspose,
    DepthwiseConv,
    FlattenedConv,
    InvertedResidual,
    ResizeConv,
    ResNeXtBlock,
    ShuffledGroupedConv,
    SpatiallySeparableConv,
)
from zoo.weights.safetensors import variables

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 8)), jnp.float32)
RNGS = nnx.Rngs(0)


@pytest.fixture(autouse=True)
def nothing_is_kept_unexpectedly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def random(module):
    """With values that no batch norm is the identity with, in evaluation mode."""
    randomise(module)
    module.eval()
    return module


def norms(module: nnx.Module) -> int:
    return sum(isinstance(inner, nnx.BatchNorm) for _, inner in nnx.iter_modules(module))


def assert_fused(module: nnx.Module, fused: nnx.Module, x: jax.Array = X) -> None:
    """That no batch norm is left, and that the results stay up to 1e-5 of their deviation."""
    assert norms(module) > norms(fused) == 0
    expected = output_of(module, x)
    np.testing.assert_allclose(output_of(fused, x), expected, rtol=0, atol=1e-5 * expected.std())


@pytest.mark.parametrize(
    "norm",
    [
        partial(BatchNorm, epsilon=0.1),
        partial(BatchNorm, use_scale=False),
        partial(nnx.BatchNorm, use_bias=False, epsilon=0.1),
    ],
)
@pytest.mark.parametrize(
    "layer",
    [
        partial(Conv, 8, 6),
        partial(ConvTranspose, 8, 6, use_bias=False),
        partial(DepthwiseConv, 8, depth_multiplier=2, use_bias=False),
        partial(FlattenedConv, 8, 6, 3, use_bias=False),
        partial(ResizeConv, 8, 6),
        partial(ShuffledGroupedConv, 8, 12, groups=4),
        partial(SpatiallySeparableConv, 8, 6),
        partial(nnx.Conv, 8, 6, (3, 3), use_bias=False),
        partial(nnx.Linear, 8, 6, use_bias=False),
    ],
    ids=lambda layer: layer.func.__name__,
)
def test_a_norm_is_folded_into_the_layer_right_before_it_in_a_sequence(layer, norm):
    layer = layer(rngs=RNGS)
    channels = jax.eval_shape(layer, X).shape[-1]
    module = random(nnx.Sequential(layer, norm(channels, rngs=RNGS), jnp.tanh))
    assert_fused(module, zoo.fuse(module))


@pytest.mark.parametrize("form", ["a", "b", "c"])
def test_every_form_of_the_resnext_block_has_the_biases_that_norms_leave(form):
    block = random(ResNeXtBlock(8, 12, 8, cardinality=2, form=form, rngs=RNGS))
    assert_fused(block, zoo.fuse(block))


def test_another_norm_after_the_same_convolution_does_not_see_the_first():
    conv = Conv(8, 8, rngs=RNGS)
    first, second = (nnx.Sequential(conv, BatchNorm(8, rngs=RNGS)) for _ in range(2))
    module = random(nnx.Sequential(first, second, conv))
    assert_fused(module, zoo.fuse(module))


class NormedConv(ConvNormAct):
    """Normalises in another order than its base."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(jax.nn.relu(self.conv(x)))


class StandardizedConv(Conv):
    """Computes with another kernel than it has."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x) / self.kernel[...].std()


class Mixed(nnx.Module):
    """Two pairs that can be folded, and what must not be: the norms that are named after their reason."""

    def __init__(self) -> None:
        self.stem = ConvNormAct(8, 8, rngs=RNGS)
        self.first = BatchNorm(8, rngs=RNGS)  # pre-activation: a norm, an activation, a convolution
        self.preactivated = nnx.Sequential(BatchNorm(8, rngs=RNGS), jax.nn.relu, Conv(8, 8, rngs=RNGS))
        self.after_act = nnx.Sequential(Conv(8, 8, rngs=RNGS), jax.nn.relu, BatchNorm(8, rngs=RNGS))
        self.after_concat = BatchNorm(16, rngs=RNGS)
        self.other_order = NormedConv(16, 8, rngs=RNGS)
        self.other_kernel = nnx.Sequential(StandardizedConv(8, 8, rngs=RNGS), BatchNorm(8, rngs=RNGS))
        self.other_axis = nnx.Sequential(Conv(8, 8, rngs=RNGS), nnx.BatchNorm(6, axis=1, rngs=RNGS))
        self.grouped = ConvNormAct(8, 8, norm=partial(nnx.GroupNorm, num_groups=2), rngs=RNGS)
        self.last = InvertedResidual(8, 8, expansion_ratio=1, rngs=RNGS)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.after_act(self.preactivated(jax.nn.relu(self.first(self.stem(x)))))
        x = self.other_order(self.after_concat(jnp.concatenate([x, -x], axis=-1)))
        return self.last(self.grouped(self.other_axis(self.other_kernel(x))))


def test_what_follows_no_convolution_is_kept_and_named():
    module = random(Mixed())
    kept = (
        "after_act.layers.2, after_concat, first, other_axis.layers.1, other_kernel.layers.1, other_order.norm, "
        "preactivated.layers.0"
    )
    with pytest.warns(UserWarning, match=f"folded 3 batch norms and kept 7 .*: {kept}$"):
        fused = zoo.fuse(module)
    assert norms(fused) == 7
    assert isinstance(fused.grouped.norm, nnx.GroupNorm)
    expected = output_of(module, X)
    np.testing.assert_allclose(output_of(fused, X), expected, rtol=0, atol=1e-5 * expected.std())


class Foreign(nnx.Module):
    """A net as anybody writes it."""

    def __init__(self) -> None:
        self.conv = nnx.Conv(8, 4, (3, 3), rngs=RNGS)
        self.norm = nnx.BatchNorm(4, rngs=RNGS)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(self.conv(x))


def test_a_module_without_blocks_of_the_zoo_stays_as_it_is_and_that_is_said():
    with pytest.warns(UserWarning, match=r"folded 0 batch norms and kept 1 .*: norm$"):
        fused = zoo.fuse(Foreign())
    assert norms(fused) == 1
    zoo.fuse(nnx.Linear(8, 4, rngs=RNGS))  # has no norm, of which there is nothing to say


def test_the_model_that_is_given_stays_as_it_is():
    block = InvertedResidual(8, 8, rngs=RNGS)
    randomise(block)
    graph, state = nnx.split(nnx.clone(block))
    fused = zoo.fuse(block)
    fused.project.conv.kernel[...] += 1
    assert nnx.graphdef(block) == graph  # in training mode, too
    jax.tree.map(np.testing.assert_array_equal, nnx.state(block), state)


@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.bfloat16])
def test_in_bfloat16_results_stay_as_near_as_its_digits_allow(param_dtype):
    block = random(InvertedResidual(8, 8, dtype=jnp.bfloat16, param_dtype=param_dtype, rngs=RNGS))
    fused = zoo.fuse(block)
    assert {variable.dtype for variable in variables(fused).values()} == {jnp.dtype(param_dtype)}
    expected, found = (output_of(module, X.astype(jnp.bfloat16)) for module in (block, fused))
    assert found.dtype == jnp.bfloat16
    difference = np.asarray(found, np.float32) - np.asarray(expected, np.float32)
    assert 0 < abs(difference).max() < 0.05 * np.asarray(expected, np.float32).std()


def test_the_result_has_the_dtype_of_the_norm():
    unit = nnx.Sequential(Conv(8, 4, rngs=RNGS), BatchNorm(4, dtype=jnp.bfloat16, rngs=RNGS))
    assert jax.eval_shape(zoo.fuse(unit), X).dtype == jnp.bfloat16


def test_training_a_fused_model_is_refused():
    fused = zoo.fuse(nnx.Sequential(ConvNormAct(8, 4, rngs=RNGS), jnp.sin))
    before = output_of(fused, X)
    fused.train()
    with pytest.raises(RuntimeError, match=r"comes from zoo.fuse and has no batch norms to train; call model.eval\(\)"):
        fused(X)
    fused.eval()
    np.testing.assert_array_equal(output_of(fused, X), before)


def test_parameters_stay_on_their_devices():
    unit = ConvNormAct(8, 4, rngs=RNGS)
    assert not any(variable[...].committed for variable in variables(zoo.fuse(unit)).values())
    everywhere = jax.sharding.NamedSharding(jax.make_mesh((2,), ("batch",)), jax.sharding.PartitionSpec())
    nnx.update(unit, jax.device_put(nnx.state(unit), everywhere))
    assert {variable[...].sharding for variable in variables(zoo.fuse(unit)).values()} == {everywhere}


def test_a_fused_model_is_counted_as_before_but_for_its_norms():
    model = nnx.eval_shape(lambda: zoo.create_model("mobilenet_v2_x0_35", small_images=True))
    fused = zoo.fuse(random(model))
    before, after = (cost_tree(net, (32, 32, 3)) for net in (model, fused))
    assert (after.macs, after.activations, after.output_shape) == (before.macs, before.activations, (1000,))
    folded = sum(module.num_features for _, module in nnx.iter_modules(model) if isinstance(module, BatchNorm))
    assert after.parameters == before.parameters - folded  # a bias instead of a scale and a bias
    assert receptive_fields(fused, (32, 32, 3)) == receptive_fields(model, (32, 32, 3))
    # Nothing of what a norm computes is left in the program.
    assert "zoo_channel_affine" in str(jax.make_jaxpr(nnx.view(model))(X[..., :3]))
    assert "zoo_channel_affine" not in str(jax.make_jaxpr(nnx.view(fused))(X[..., :3]))
