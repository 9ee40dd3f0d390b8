from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import zoo
import zoo.blocks
from zoo.analysis.cost import cost_tree, count_macs, count_parameters
from zoo.blocks import Conv


@pytest.mark.parametrize(
    ("conv", "macs"),
    [
        (lambda: Conv(8, 16, 3, rngs=nnx.Rngs(0)), 10 * 10 * 9 * 8 * 16),
        (lambda: Conv(8, 16, 3, stride=2, groups=4, rngs=nnx.Rngs(0)), 5 * 5 * 9 * 2 * 16),
        (lambda: Conv(8, 8, 5, groups=8, rngs=nnx.Rngs(0)), 10 * 10 * 25 * 8),
        (lambda: Conv(8, 16, 1, rngs=nnx.Rngs(0)), 10 * 10 * 8 * 16),
        (lambda: nnx.Linear(8, 5, rngs=nnx.Rngs(0)), 10 * 10 * 8 * 5),
    ],
    ids=["dense", "grouped", "depthwise", "pointwise", "linear"],
)
def test_macs_by_hand(conv, macs):
    assert count_macs(conv(), (10, 10, 8)) == macs
    assert count_macs(nnx.eval_shape(conv), (10, 10, 8)) == macs


def test_loops_and_compiled_functions_are_looked_into():
    class Repeated(nnx.Module):
        def __init__(self) -> None:
            self.kernel = nnx.Param(jnp.zeros((8, 8)))

        def __call__(self, x):
            step = jax.checkpoint(lambda x: x @ self.kernel[...])
            return jax.lax.fori_loop(0, 3, lambda _, x: step(x), jax.jit(step)(x))

    assert count_macs(Repeated(), (8,)) == 4 * 64


def test_parameters_are_what_is_learned():
    model = nnx.BatchNorm(6, rngs=nnx.Rngs(0))  # two learned vectors, two running ones
    assert count_parameters(model) == 12


def test_counting_leaves_the_mode_alone():
    model = nnx.BatchNorm(8, rngs=nnx.Rngs(0))
    count_macs(model, (4, 4, 8))
    assert model.use_running_average is False


class Block(nnx.Module):
    def __init__(self) -> None:
        self.unused = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
        self.layers = nnx.List([nnx.Conv(4, 4, (3, 3), use_bias=False, rngs=nnx.Rngs(0)) for _ in range(2)])
        self.scale = nnx.Param(jnp.ones(4))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return jax.checkpoint(jax.jit(self.layers[0]))(x) * self.scale[...] @ jnp.ones((4, 5))


def test_costs_belong_to_the_innermost_module():
    tree = cost_tree(nnx.Sequential(Block(), nnx.Linear(5, 7, rngs=nnx.Rngs(0))), (6, 6, 4))
    conv, product, linear = 36 * 9 * 16, 36 * 4 * 5, 36 * 5 * 7
    assert (tree.path, tree.kind, tree.output_shape) == ((), "Sequential", (6, 6, 7))
    assert tree.macs == 3 * conv + product + linear
    assert tree.activations == 3 * 36 * 4 + 36 * 5 + 36 * 7
    (layers,) = tree.children
    block, last = layers.children
    assert (last.macs, last.parameters, last.output_shape) == (linear, 5 * 7 + 7, (6, 6, 7))
    assert block.path == ("layers", 0)
    assert block.macs == 3 * conv + product
    assert block.parameters == 2 * 9 * 16 + 4 + 2 * 2 + 2
    inside = {child.path[2:]: child for child in block.children}
    assert list(inside) == [("layers",), ("unused",)], "called first, then those not called"
    assert [conv.macs for conv in inside["layers",].children] == [2 * conv, conv], "a module called twice counts twice"
    assert inside["unused",].macs == 0
    assert inside["unused",].output_shape is None


def test_counting_leaves_the_classes_alone():
    own, inherited = Block.__call__, "__call__" in zoo.blocks.DepthwiseConv.__dict__
    model = nnx.Sequential(Block(), zoo.blocks.DepthwiseConv(5, rngs=nnx.Rngs(0)))
    cost_tree(model, (6, 6, 4))
    assert Block.__call__ is own
    assert ("__call__" in zoo.blocks.DepthwiseConv.__dict__) == inherited
    with pytest.raises(ValueError, match="feature dimension"):
        cost_tree(model, (6, 6, 3))
    assert Block.__call__ is own


def test_activations_are_those_of_the_published_count():
    """2003.13678's authors give 11.1 million for ResNet-50."""
    model = nnx.eval_shape(lambda: zoo.create_model("resnet50"))
    assert cost_tree(model, (224, 224, 3)).activations == pytest.approx(11.1e6, rel=0.01)
