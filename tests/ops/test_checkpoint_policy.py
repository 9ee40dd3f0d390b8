from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.ops import convolutions_saveable, force_lowering
from zoo.ops.lowering.select import LOWERINGS

X = jnp.zeros((2, 5, 5, 4))
OUTPUT = (2, 5, 5, 6)


def checkpointed(policy):
    """A convolution with batch norm in training and activation."""
    graph, state = nnx.split(ConvNormAct(4, 6, rngs=nnx.Rngs(0)))
    return jax.checkpoint(lambda x: nnx.merge(graph, state, copy=True)(x), policy=policy)


def saved_maps(policy, lowering):
    """The shapes of the maps that are saved for the gradient by the input."""

    def residuals(x):
        with force_lowering(lowering):
            return jax.vjp(checkpointed(policy), x)[1]

    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(residuals, X))]
    return [shape for shape in shapes if shape[:-1] == X.shape[:-1]]


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_saves_the_output_of_the_convolution_and_no_other_map(lowering):
    assert saved_maps(convolutions_saveable, lowering) == [OUTPUT]


def test_the_policy_of_jax_does_not_see_the_convolution():
    assert saved_maps(jax.checkpoint_policies.dots_saveable, "native") == [OUTPUT]
    assert saved_maps(jax.checkpoint_policies.dots_saveable, "dense") == [X.shape]


def test_neither_convolution_nor_statistics_are_computed_twice():
    program = str(jax.make_jaxpr(jax.grad(lambda x: jnp.sin(checkpointed(convolutions_saveable)(x)).sum()))(X))
    assert program.count("= zoo_convolution[") == 2  # forward, and the gradient
    assert program.count("= zoo_channel_sums") == 2
