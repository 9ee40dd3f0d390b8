from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import BatchNorm, Conv
from zoo.models._pooling import max_pool
from zoo.models.xception import SeparableConv, XceptionBlock

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 8, 6)), jnp.float32)
OPTIONS = {"norm": BatchNorm, "dtype": None, "param_dtype": jnp.float32}
block = partial(XceptionBlock, act=jax.nn.relu, **OPTIONS)


def test_the_maps_at_299_have_the_sizes_of_the_public_weights():
    model = nnx.eval_shape(lambda: zoo.create_model("xception"))
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((1, 299, 299, 3))), model)
    assert [feature.shape[1:] for feature in features.values()] == [
        (74, 74, 128),
        (37, 37, 256),
        (19, 19, 728),
        (10, 10, 2048),
    ]


def test_it_has_36_convolutional_layers():
    """As section 4 of the paper counts them: a separable convolution as one, and no shortcuts."""
    model = nnx.eval_shape(lambda: zoo.create_model("xception"))
    convs = [module for _, module in nnx.iter_modules(model) if isinstance(module, Conv)]
    separable = [module for _, module in nnx.iter_modules(model) if isinstance(module, SeparableConv)]
    blocks = [module for _, module in nnx.iter_modules(model) if isinstance(module, XceptionBlock)]
    shortcuts = [block.shortcut for block in blocks if block.shortcut is not None]
    assert (len(separable), len(blocks), len(shortcuts)) == (34, 12, 4)
    assert len(convs) - len(separable) - len(shortcuts) == 36


def test_a_separable_convolution_is_linear_between_its_two():
    conv = SeparableConv(6, 4, act=jax.nn.relu, rngs=nnx.Rngs(0), **OPTIONS)
    dense = Conv(6, 4, 3, use_bias=False, rngs=nnx.Rngs(0))
    dense.kernel[...] = jnp.einsum("hwi,io->hwio", conv.depthwise.kernel[:, :, 0], conv.pointwise.conv.kernel[0, 0])
    np.testing.assert_allclose(conv(X), jax.nn.relu(conv.pointwise.norm(dense(X))), atol=1e-5)


def test_a_block_adds_its_convolutions_behind_an_activation_to_its_input():
    module = block(6, (6, 6), rngs=nnx.Rngs(0))
    first, second = module.convs
    assert module.shortcut is None
    assert (module(X) < 0).any()
    np.testing.assert_allclose(module(X), X + second(first(jax.nn.relu(X))), atol=1e-6)


@pytest.mark.parametrize("starts_with_act", [True, False])
def test_where_the_shape_changes_it_pools_and_the_shortcut_sees_the_input_itself(starts_with_act):
    module = block(6, (4, 8), 2, starts_with_act=starts_with_act, rngs=nnx.Rngs(0))
    first, second = module.convs
    y = second(first(jax.nn.relu(X) if starts_with_act else X))
    assert module(X).shape == (2, 4, 4, 8)
    np.testing.assert_allclose(module(X), max_pool(y) + module.shortcut(X), atol=1e-5)
