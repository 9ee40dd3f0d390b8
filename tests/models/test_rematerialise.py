from __future__ import annotations

import math
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import ConvNormAct, DropPath
from zoo.models._classifier import ImageClassifier
from zoo.models._rematerialise import rematerialise_blocks, run
from zoo.registry import _models

SMALLEST = {  # of each architecture
    _models[name].architecture: name
    for name in sorted(zoo.list_models(), key=lambda name: zoo.model_info(name).parameters, reverse=True)
}

BLOCKS = 6


class Net(ImageClassifier):
    """Of blocks that have what a block can have: batch statistics and random masks."""

    def __init__(self, **options):
        rngs = nnx.Rngs(0)

        def block():
            convs = (ConvNormAct(8, 8, 1, rngs=rngs, **options) for _ in range(2))
            return nnx.Sequential(*convs, DropPath(0.4, rngs=rngs))

        self.stem = nnx.Sequential(ConvNormAct(3, 8, rngs=rngs, **options), nnx.Dropout(0.2, rngs=rngs))
        self._init_stages([[block() for _ in range(BLOCKS)]], [1])
        self._init_head(8, 3, dropout=0.2, dtype=None, param_dtype=jnp.float32, rngs=rngs)


def loss_and_state(model):
    """The loss of a training step as a function of (params, images), with the state that it leaves; and the params."""
    model.train()
    graph, params, others = nnx.split(model, nnx.Param, ...)

    def loss(params, images):
        model = nnx.merge(graph, params, others, copy=True)
        return jnp.square(model(images) - 1).sum(), nnx.state(model, nnx.Not(nnx.Param))

    return loss, params


def test_the_compiled_step_takes_less_memory_and_gives_the_same(float64):
    loss, params = loss_and_state(Net(dtype=jnp.float64, param_dtype=jnp.float64))
    images = jax.random.normal(jax.random.key(1), (4, 32, 32, 3), jnp.float64)
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    results, memory = [], []
    for context in (nullcontext(), rematerialise_blocks()):
        with context:  # which the one jitted function must notice
            program = gradient.lower(params, images).compile()
        memory.append(program.memory_analysis().temp_size_in_bytes)
        results.append(program(params, images))
    assert memory[1] < 0.85 * memory[0]
    for whole, twice in zip(*map(jax.tree.leaves, results), strict=True):
        if jnp.issubdtype(whole.dtype, jax.dtypes.prng_key):
            whole, twice = map(jax.random.key_data, (whole, twice))
        np.testing.assert_allclose(twice, whole, rtol=1e-12 if whole.dtype == np.float64 else 1e-6, atol=1e-12)


def test_outside_of_the_context_a_block_is_just_called():
    block = ConvNormAct(3, 4, rngs=nnx.Rngs(0))
    block.eval()
    x = jnp.ones((1, 4, 4, 3))
    assert str(jax.make_jaxpr(lambda x: run(block, x))(x)) == str(jax.make_jaxpr(block)(x))


@pytest.mark.parametrize("name", SMALLEST.values())
def test_every_convolution_of_every_family_is_in_a_block(name):
    model = nnx.eval_shape(lambda: zoo.create_model(name))
    model.eval()
    graph, state = nnx.split(model)
    size = zoo.model_info(name).input_size
    with rematerialise_blocks():
        traced = jax.make_jaxpr(lambda state, x: nnx.merge(graph, state)(x))(
            state, jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        )
    primitives = [equation.primitive.name for equation in traced.eqns]
    stages = model.body.stages if isinstance(model, zoo.Segmenter) else model.stages
    assert primitives.count("custom_vjp_call") > sum(len(stage) for stage in stages)
    assert not {"zoo_convolution", "conv_general_dilated", "zoo_channel_affine"} & set(primitives)


def bytes_to_save(loss, params, images):
    """The size of the maps that the forward pass leaves for the backward pass."""
    saved = jax.eval_shape(lambda params: jax.vjp(lambda params: loss(params, images)[0], params)[1], params)
    maps = (leaf for leaf in jax.tree.leaves(saved) if leaf.ndim == 4 and len(leaf) == len(images))
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in maps)


@pytest.mark.parametrize(
    ("name", "options"),
    [("mobilenet_v2_x0_35", {"small_images": True}), ("resnext29_2x64d", {"group_width": 4})],
)
def test_less_is_saved_for_the_backward_pass(name, options):
    loss, params = loss_and_state(zoo.create_model(name, num_classes=10, **options))
    images = jnp.zeros((4, 32, 32, 3))
    whole = bytes_to_save(loss, params, images)
    with rematerialise_blocks():
        assert bytes_to_save(loss, params, images) < 0.65 * whole


def test_other_platforms_get_a_barrier_for_each_block():
    loss, params = loss_and_state(Net())
    with rematerialise_blocks():
        traced = jax.jit(jax.grad(loss, has_aux=True)).trace(params, jnp.zeros((4, 8, 8, 3)))
    barriers = [
        traced.lower(lowering_platforms=(platform,)).as_text().count("optimization_barrier")
        for platform in ("cuda", "tpu")
    ]
    assert barriers == [1 + BLOCKS, 1 + BLOCKS]  # and the stem


def test_forward_mode_is_refused():
    model = Net()
    model.eval()
    x = jnp.zeros((1, 8, 8, 3))
    with rematerialise_blocks(), pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(model, (x,), (x,))
