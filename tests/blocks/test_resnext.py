from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.analysis.cost import count_macs, count_parameters
from zoo.blocks import Bottleneck, Conv
from zoo.blocks.resnext import ResNeXtBlock
from zoo.ops import force_lowering

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 8)), jnp.float32)
FORMS = ("a", "b", "c")


def block(form: str, **options) -> ResNeXtBlock:
    """With normalisations whose parameters and statistics differ from channel to channel."""
    module = ResNeXtBlock(8, 8, 8, cardinality=2, form=form, rngs=nnx.Rngs(0), **options)
    random = np.random.default_rng(1)
    for _, norm in nnx.iter_modules(module):
        if isinstance(norm, nnx.BatchNorm):
            for leaf in (norm.scale, norm.bias, norm.mean, norm.var):
                leaf[...] = jnp.asarray(random.uniform(0.5, 1.5, leaf.shape), jnp.float32)
    return module


def output_state_and_gradients(module: ResNeXtBlock):
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    @jax.jit
    def compute(params, x):
        def loss(params, x):
            model = nnx.merge(graph, params, rest, copy=True)
            y = model(x)
            return (y * jnp.sin(jnp.arange(y.size).reshape(y.shape))).sum(), (y, nnx.state(model, nnx.BatchStat))

        gradients, (y, statistics) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)
        return y, statistics, gradients

    with force_lowering("native"):  # compiles faster
        return compute(params, X)


@pytest.mark.parametrize(("training", "options"), [(True, {}), (False, {"stride": 2, "dilation": 2})])
def test_the_three_forms_are_the_same_function_of_the_same_weights(training, options):
    results = []
    for form in FORMS:
        module = block(form, **options)
        module.train() if training else module.eval()
        results.append(output_state_and_gradients(module))
    for result in results[:2]:
        jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5), result, results[2])


def test_form_c_is_the_bottleneck_of_the_models():
    bottleneck = Bottleneck(8, 8, 8, groups=2, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ResNeXtBlock(8, 8, 8, cardinality=2, rngs=nnx.Rngs(0))(X), bottleneck(X))


def test_form_a_adds_up_bottlenecks_of_its_parts_of_the_weights():
    module = block("a")
    module.eval()
    total = 0
    for branch in range(2):
        part = slice(4 * branch, 4 * branch + 4)
        narrow = Bottleneck(8, 8, 4, rngs=nnx.Rngs(0))
        narrow.eval()
        for ours, theirs in ((narrow.reduce, module.reduce), (narrow.filter, module.filter)):
            ours.conv.kernel[...] = theirs.conv.kernel[..., part]
            for name in ("scale", "bias", "mean", "var"):
                getattr(ours.norm, name)[...] = getattr(theirs.norm, name)[part]
        narrow.expand.conv.kernel[...] = module.expand.conv.kernel[:, :, part]
        total += narrow.expand.conv(narrow.filter(narrow.reduce(X)))
    np.testing.assert_allclose(module(X), jax.nn.relu(X + module.expand.norm(total)), atol=1e-5)


@pytest.mark.parametrize(("form", "convolutions"), [("a", 2 + 2 + 2), ("b", 2 + 2 + 1), ("c", 1 + 1 + 1)])
def test_each_form_convolves_as_figure_3_shows_with_as_many_multiplications(form, convolutions):
    module = block(form)
    graph, state = nnx.split(module)
    with force_lowering("native"):
        jaxpr = jax.make_jaxpr(lambda state: nnx.merge(graph, state, copy=True)(X))(state)
    assert str(jaxpr).count("conv_general_dilated[") == convolutions
    assert count_macs(module, (6, 6, 8)) == 36 * (8 * 8 + 9 * 8 * 4 + 8 * 8)


def test_the_papers_example_has_its_parameters():
    """Section 3.3: 256 channels, 32 branches of 4; about 70 thousand weights."""
    module = nnx.eval_shape(lambda: ResNeXtBlock(256, 256, 128, rngs=nnx.Rngs(0)))
    kernels = [layer.kernel for _, layer in nnx.iter_modules(module) if isinstance(layer, Conv)]
    assert sum(kernel.size for kernel in kernels) == 32 * (256 * 4 + 3 * 3 * 4 * 4 + 4 * 256) == 70_144
    assert count_parameters(module) == 70_144 + 2 * (128 + 128 + 256)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="form='d' must be one of a, b, c"):
        ResNeXtBlock(8, 8, 12, cardinality=3, form="d", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="cardinality=5 does not divide hidden_channels=12"):
        ResNeXtBlock(8, 8, 12, cardinality=5, rngs=nnx.Rngs(0))
