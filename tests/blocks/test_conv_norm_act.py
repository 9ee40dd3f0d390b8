from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.blocks import ConvNormAct

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 6, 6, 3)), jnp.float32)


def test_is_convolution_then_norm_then_activation():
    block = ConvNormAct(3, 8, stride=2, rngs=nnx.Rngs(0))
    convolved = block.conv(X)
    mean, variance = convolved.mean((0, 1, 2)), convolved.var((0, 1, 2))
    expected = jnp.maximum((convolved - mean) / jnp.sqrt(variance + 1e-5), 0)
    np.testing.assert_allclose(block(X), expected, atol=1e-4)


def test_training_moves_the_running_statistics_and_evaluation_uses_them():
    block = ConvNormAct(3, 8, act=None, rngs=nnx.Rngs(0))
    mean = block.conv(X).mean((0, 1, 2))
    block(X)
    np.testing.assert_allclose(block.norm.mean[...], mean, atol=1e-6)
    block.eval()
    expected = (block.conv(X) - block.norm.mean[...]) / jnp.sqrt(block.norm.var[...] + 1e-5)
    np.testing.assert_allclose(block(X), expected, atol=1e-5)


def test_the_convolution_has_a_bias_only_without_a_norm():
    assert ConvNormAct(3, 8, rngs=nnx.Rngs(0)).conv.bias is None
    assert ConvNormAct(3, 8, norm=None, rngs=nnx.Rngs(0)).conv.bias is not None


def test_norm_and_activation_are_arguments():
    block = ConvNormAct(3, 8, norm=partial(nnx.GroupNorm, num_groups=2), act=jax.nn.silu, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(block(X), jax.nn.silu(block.norm(block.conv(X))), atol=1e-6)
