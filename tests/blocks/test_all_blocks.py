"""What holds for every block."""

from __future__ import annotations

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo import blocks
from zoo.ops import force_lowering

SQUEEZE = partial(blocks.SqueezeExcite, squeeze_channels=2)
# The smallest of each that has all of its branches, and the channels that it makes of X's eight.
BLOCKS = {
    "ASPP": ((8, 4), {"rates": (1, 2)}, 4),
    "AsymmetricGridReduction": ((8, (2, 3), 4, 3), {}, 15),
    "AsymmetricInception": ((8, 2, 3, 3), {}, 8),
    "BasicBlock": ((8, 4), {}, 4),
    "BatchNorm": ((8,), {}, 8),
    "Bottleneck": ((8, 4, 4), {"groups": 2, "squeeze_channels": 2}, 4),
    "ContextModule": ((8,), {}, 8),
    "Conv": ((8, 4), {}, 4),
    "ConvNormAct": ((8, 4), {}, 4),
    "ConvTranspose": ((8, 4), {}, 4),
    "DepthwiseConv": ((8,), {"depth_multiplier": 2}, 16),
    "DepthwiseSeparableConv": ((8, 4), {}, 4),
    "DropPath": ((0.5,), {}, 8),
    "ExpandedInception": ((8, 1, (2, 3), (2, 3), 1), {}, 14),
    "ExtremeInception": ((8, 4), {}, 4),
    "FactorizedInception": ((8, 1, (2, 3), (2, 3), 1), {}, 8),
    "FlattenedConv": ((8, 4), {}, 4),
    "FusedInvertedBottleneck": ((8, 4, 6), {}, 4),
    "GridReduction": ((8, 2, (2, 3)), {"padding": 1}, 13),
    "GroupedConv": ((8, 4), {"groups": 2}, 4),
    "InceptionModule": ((8, 1, (2, 3), (2, 3), 1), {}, 8),
    "InvertedResidual": ((8, 4), {"expansion_ratio": 2, "squeeze_excite": SQUEEZE}, 4),
    "NaiveInceptionModule": ((8, 1, 2, 3), {}, 14),
    "PointwiseConv": ((8, 4), {}, 4),
    "ResNeXtBlock": ((8, 4, 4), {"cardinality": 2}, 4),
    "ResizeConv": ((8, 4), {}, 4),
    "ShuffleUnitV1": ((8, 16), {"groups": 2}, 16),
    "ShuffleUnitV2": ((8, 4), {}, 4),
    "ShuffledGroupedConv": ((8, 4), {"groups": 2}, 4),
    "SpatiallySeparableConv": ((8, 4), {}, 4),
    "SqueezeExcite": ((8, 2), {}, 8),
    "UniversalInvertedBottleneck": ((8, 4, 6), {"start_kernel_size": 3}, 4),
}  # fmt: skip
SINGLE_CONVOLUTIONS = (
    "Conv", "ConvTranspose", "DepthwiseConv", "FlattenedConv", "GroupedConv", "PointwiseConv", "ResizeConv",
    "ShuffledGroupedConv", "SpatiallySeparableConv",
)  # fmt: skip
NO_MODULES = {"Activation", "Norm", "he_normal"}

ORDER = (
    "stride", "dilation", "groups", "depth_multiplier", "cardinality", "padding", "drop_path", "use_bias", "norm",
    "act", "dtype", "param_dtype", "precision", "preferred_element_type", "kernel_init", "bias_init", "rngs",
)  # fmt: skip

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 5, 5, 8)), jnp.float32)


def make(name: str, **options):
    arguments, own, _ = BLOCKS[name]
    return getattr(blocks, name)(*arguments, **own, **options, rngs=nnx.Rngs(0))


def test_every_block_is_tested_here():
    assert set(BLOCKS) | NO_MODULES == set(blocks.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_every_parameter_gets_a_gradient(name):
    module = make(name)
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, x):
        y = nnx.merge(graph, params, rest, copy=True)(x)
        assert y.shape[::3] == (4, BLOCKS[name][2])
        return (y * jnp.sin(jnp.arange(y.size)).reshape(y.shape)).sum()

    with force_lowering("native"):
        gradients = jax.jit(jax.grad(loss, (0, 1)))(params, X)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert jnp.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert (gradient != 0).any(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_computation_is_in_dtype_and_parameters_in_param_dtype(name):
    if name == "DropPath":
        pytest.skip("has neither")
    module = nnx.eval_shape(lambda: make(name, dtype=jnp.bfloat16, param_dtype=jnp.float16))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))} == {jnp.dtype(jnp.float16)}
    assert nnx.eval_shape(lambda module: module(X.astype(jnp.bfloat16)), module).dtype == jnp.bfloat16


@pytest.mark.parametrize("name", BLOCKS)
def test_stride_and_what_follows_is_by_keyword_and_in_order(name):
    parameters = inspect.signature(getattr(blocks, name).__init__).parameters.values()
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    by_keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert not set(ORDER) & set(by_position)
    assert [word for word in by_keyword if word in ORDER] == [word for word in ORDER if word in by_keyword]


@pytest.mark.parametrize("name", SINGLE_CONVOLUTIONS)
def test_a_convolution_passes_on_what_nnx_conv_takes(name):
    ones, zeros = nnx.initializers.ones, nnx.initializers.zeros
    constant = make(name, kernel_init=zeros, bias_init=ones)(X)
    np.testing.assert_array_equal(constant, jnp.ones_like(constant))

    def call(x):
        options = {"precision": "highest", "preferred_element_type": jnp.float32}
        return make(name, dtype=jnp.bfloat16, kernel_init=zeros, **options)(x)

    with force_lowering("native"):
        program = jax.make_jaxpr(call)(X)
    assert program.out_avals[0].dtype == jnp.float32
    precise = str(program).count("precision=(Precision.HIGHEST, Precision.HIGHEST)")
    assert precise == str(program).count("conv_general_dilated[") > 0
