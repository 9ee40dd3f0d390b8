from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_parameters
from zoo.blocks.context import ASPP, ContextModule, identity_initializer
from zoo.ops import force_lowering

X = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, (1, 12, 12, 4)), jnp.float32)


def test_a_new_basic_module_passes_its_input_through_up_to_the_border():
    module = ContextModule(4, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(module(X), X)
    np.testing.assert_array_equal(module(-X), jnp.zeros_like(X))


def test_a_new_large_module_passes_its_input_through_but_for_noise():
    module = ContextModule(2, form="large", rngs=nnx.Rngs(0))
    with force_lowering("native"):
        y = nnx.jit(lambda module, x: module(x))(module, X[..., :2])
    np.testing.assert_allclose(y, X[..., :2], atol=0.1)
    assert not (y == X[..., :2]).any()


def test_channels_of_a_group_do_not_stay_alike():
    """Were their weights equal they would get equal gradients."""
    kernel = identity_initializer(4)(jax.random.key(0), (3, 3, 4, 8))
    assert not jnp.allclose(kernel[..., 0], kernel[..., 1], atol=1e-6)
    np.testing.assert_allclose(kernel[1, 1, 0, :2], 0.5)
    assert jnp.abs(kernel[..., 2:].at[1, 1, 1:].set(0)).max() < 0.02


@pytest.mark.parametrize(("form", "weights"), [("basic", 7 * 9 + 1), ("large", 9 * 1710 + 32)])
def test_parameters_grow_with_the_square_of_the_channels(form, weights):
    module = nnx.eval_shape(lambda: ContextModule(21, form=form, rngs=nnx.Rngs(0)))
    biases = 8 if form == "basic" else 2 + 2 + 4 + 8 + 16 + 32 + 32 + 1
    assert count_parameters(module) == weights * 21**2 + biases * 21


def test_the_receptive_field_is_67():
    module = ContextModule(1, rngs=nnx.Rngs(0))
    for layer in module.layers:
        layer.kernel[...] = jnp.ones_like(layer.kernel[...])
    x = jnp.zeros((1, 81, 81, 1)).at[0, 40, 40].set(1.0)
    with force_lowering("native"):
        y = nnx.jit(lambda module, x: module(x))(module, x)
    rows, columns = np.nonzero(y[0, ..., 0])
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (40 - 33, 40 + 33)


def test_channels_double_between_whatever_dilations_there_are():
    module = nnx.eval_shape(lambda: ContextModule(3, form="large", dilations=(1, 1, 2, 4, 1), rngs=nnx.Rngs(0)))
    assert [layer.kernel_dilation for layer in module.layers] == [1, 1, 2, 4, 1]
    assert [layer.out_features for layer in module.layers] == [6, 6, 12, 24, 24]


def test_padding_once_differs_from_padding_each_layer_at_the_border_alone():
    """A bias turns the padding of the map into something that the next layer sees."""
    each, once = (
        ContextModule(4, dilations=(1, 2), pads_once=pads_once, rngs=nnx.Rngs(0)) for pads_once in (False, True)
    )
    for module in (each, once):
        for layer in module.layers:
            layer.kernel[...] = jnp.full_like(layer.kernel[...], 0.1)
            layer.bias[...] = jnp.ones_like(layer.bias[...])
    differs = np.asarray(jnp.abs(each(X) - once(X)).max((0, 3)) > 1e-5)
    assert differs.shape == (12, 12)
    assert not differs[2:-2, 2:-2].any()
    assert differs[0].all()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="form='huge' must be one of basic, large"):
        ContextModule(4, form="huge", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"dilations=\(\) must have at least one"):
        ContextModule(4, dilations=(), rngs=nnx.Rngs(0))


def test_the_pyramid_has_the_parameters_of_deeplab_v3():
    module = nnx.eval_shape(lambda: ASPP(2048, rngs=nnx.Rngs(0)))
    kernels = (2 + 3 * 9) * 2048 * 256 + 5 * 256 * 256
    assert count_parameters(module) == kernels + 6 * 2 * 256


def test_the_pyramid_puts_its_branches_side_by_side():
    module = ASPP(4, 6, rates=(1, 2), norm=None, rngs=nnx.Rngs(0))
    image = jnp.broadcast_to(module.image(X.mean((1, 2), keepdims=True)), (1, 12, 12, 6))
    branches = [module.pointwise(X), module.pyramid[0](X), module.pyramid[1](X), image]
    assert [branch.conv.kernel_dilation for branch in module.pyramid] == [1, 2]
    np.testing.assert_allclose(module(X), module.project(jnp.concatenate(branches, axis=-1)), atol=1e-5)


def test_a_pyramid_without_rates_has_the_pointwise_branch_and_the_average():
    module = ASPP(4, 6, rates=(), norm=None, rngs=nnx.Rngs(0))
    assert module.project.conv.in_features == 2 * 6
    assert module(jnp.ones((1, 5, 7, 4))).shape == (1, 5, 7, 6)
