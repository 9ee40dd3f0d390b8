"""The promise of `conv_general_dilated` and `conv_transpose`: whatever `lax` does with a call, they do, too."""

from __future__ import annotations

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from zoo import ops

NHWC = ("NHWC", "HWIO", "NHWC")
X, KERNEL = (np.random.default_rng(0).standard_normal(shape) for shape in ((2, 5, 5, 8), (3, 3, 8, 4)))
GROUPED = KERNEL[:, :, :4]


def outcome(function, *args, **options):
    """The result; or what is raised, and its first line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jax.block_until_ready(function(*args, **options))
    except Exception as error:
        return type(error), str(error).partition("\n")[0]


def assert_alike(ours, theirs):
    if isinstance(theirs, tuple):
        assert ours == theirs
        return
    assert not isinstance(ours, tuple), f"{ours}, where lax gives a result"
    a, b = jax.typeof(ours), jax.typeof(theirs)
    assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
    np.testing.assert_allclose(*(np.asarray(y, np.complex128) for y in (ours, theirs)), rtol=2e-2, atol=1e-4)


def cast(dtype, x=X, kernel=KERNEL):
    return jnp.asarray(x).astype(dtype), jnp.asarray(kernel).astype(dtype)


def mesh():
    return Mesh(np.asarray(jax.devices()[:1]), ("batch",))


ODD = {
    "bfloat16": (*cast("bfloat16"), {}),
    "float16": (*cast("float16"), {}),
    "float8": (*cast("float8_e4m3fn"), {}),
    "float8 of another kind": (*cast("float8_e5m2"), {}),
    "int32": (*cast("int32"), {}),
    "bool": (*cast("bool"), {}),
    "complex64": (*cast("complex64"), {}),
    "two dtypes": (cast("float32")[0], cast("bfloat16")[1], {}),
    "weak types": (jnp.full((1, 4, 4, 2), 1.5), jnp.full((3, 3, 2, 2), 0.5), {}),
    "one weak type": (jnp.full((1, 4, 4, 2), 1.5), jnp.ones((3, 3, 2, 2)), {}),
    "NumPy": (X, KERNEL, {}),
    "lists": (X.tolist(), KERNEL.tolist(), {}),
    "nnx.Param": (X, nnx.Param(jnp.asarray(KERNEL)), {}),
    "one dimension": (*cast("float32", X[:, 0], KERNEL[0]), {"window_strides": (1,),
                                                            "dimension_numbers": ("NHC", "HIO", "NHC")}),
    "three dimensions": (*cast("float32", X[:, None], KERNEL[None]),
                         {"window_strides": (1, 1, 1), "dimension_numbers": ("NDHWC", "DHWIO", "NDHWC")}),
    "another layout": (*cast("float32", X.transpose(0, 3, 1, 2)), {"dimension_numbers": ("NCHW", "HWIO", "NCHW")}),
    "the default layout": (*cast("float32", X.transpose(0, 3, 1, 2), KERNEL.transpose(3, 2, 0, 1)),
                           {"dimension_numbers": None}),
    "one axis too few": (*cast("float32", X[0]), {}),
    "no such layout": (*cast("float32"), {"dimension_numbers": ("NHWC", "HWIO", "NHW")}),
    "no examples": (*cast("float32", X[:0]), {}),
    "no channels": (*cast("float32", X[..., :0], KERNEL[:, :, :0]), {}),
    "no output channels": (*cast("float32", X, KERNEL[..., :0]), {}),
    "no pixels": (*cast("float32", X[:, :0]), {}),
    "no taps": (*cast("float32", X, KERNEL[:0]), {}),
    "a kernel that does not fit": (*cast("float32", X[:, :2]), {"padding": "VALID"}),
    "wrong channels": (*cast("float32", X, KERNEL[:, :, :3]), {}),
    "strides in an array": (*cast("float32"), {"window_strides": np.array([2, 1])}),
    "a number as strides": (*cast("float32"), {"window_strides": 2}),
    "fractional strides": (*cast("float32"), {"window_strides": (1.0, 1.0)}),
    "three strides": (*cast("float32"), {"window_strides": (1, 1, 1)}),
    "strides of 0": (*cast("float32"), {"window_strides": (0, 1)}),
    "no strides": (*cast("float32"), {"window_strides": None}),
    "padding in an array": (*cast("float32"), {"padding": np.array([[1, 0], [2, 1]])}),
    "padding in lower case": (*cast("float32"), {"padding": "same", "window_strides": (2, 2)}),
    "SAME_LOWER": (*cast("float32", X[:, :4]), {"padding": "SAME_LOWER", "window_strides": (2, 2)}),
    "no such padding": (*cast("float32"), {"padding": "FULL"}),
    "flat padding": (*cast("float32"), {"padding": (1, 1)}),
    "fractional padding": (*cast("float32"), {"padding": ((1.0, 1), (1, 1))}),
    "three paddings": (*cast("float32"), {"padding": ((1, 1),) * 3}),
    "cropping": (*cast("float32"), {"padding": ((-1, 0), (0, -2))}),
    "cropping all": (*cast("float32"), {"padding": ((-4, -4), (0, 0))}),
    "dilation in an array": (*cast("float32"), {"rhs_dilation": np.array([2, 1])}),
    "no dilation": (*cast("float32"), {"rhs_dilation": ()}),
    "a dilated input": (*cast("float32"), {"lhs_dilation": [2, 2], "padding": ((1, 1), (1, 1))}),
    "a dilated input in an array": (*cast("float32"), {"lhs_dilation": np.array([2, 2]), "padding": ((1, 1), (1, 1))}),
    "a dilated input with strides": (*cast("float32"), {"lhs_dilation": (2, 2), "window_strides": (2, 1),
                                                        "padding": ((1, 1), (1, 1))}),
    "a dilated input, padded by name": (*cast("float32"), {"lhs_dilation": (2, 2)}),
    "no groups": (*cast("float32"), {"feature_group_count": 0}),
    # Padded as nothing else is: lax would fail with 2, too, in later calls that are otherwise equal.
    "half groups": (*cast("float32", X, GROUPED), {"feature_group_count": 2.0, "padding": ((2, 4), (1, 3))}),
    "groups that do not divide": (*cast("float32"), {"feature_group_count": 3}),
    "groups that do not divide the output": (*cast("float32", X, KERNEL[:, :, :2, :3]), {"feature_group_count": 4}),
    "groups of the batch": (*cast("float32"), {"batch_group_count": 2}),
    "no groups of the batch": (*cast("float32"), {"batch_group_count": 0}),
    "a precision": (*cast("float32"), {"precision": "highest"}),
    "no such precision": (*cast("float32"), {"precision": 1}),
    "its own element type": (*cast("bfloat16"), {"preferred_element_type": jnp.bfloat16}),
    "a wider element type": (*cast("bfloat16"), {"preferred_element_type": "float32"}),
    "a narrower element type": (*cast("float32"), {"preferred_element_type": "bfloat16"}),
    "no such element type": (*cast("float32"), {"preferred_element_type": "number"}),
    "a sharding": (*cast("float32"), {"out_sharding": NamedSharding(mesh(), P())}),
    "a sharding without a mesh": (*cast("float32"), {"out_sharding": P("batch")}),
    "an unknown keyword": (*cast("float32"), {"activation": None}),
}  # fmt: skip


@pytest.mark.parametrize(("x", "kernel", "options"), ODD.values(), ids=ODD)
def test_odd_calls(x, kernel, options):
    arguments = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NHWC} | options
    assert_alike(*(outcome(f, x, kernel, **arguments) for f in (ops.conv_general_dilated, lax.conv_general_dilated)))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "complex64", "bfloat16"])
def test_gradients_of_other_dtypes(dtype):
    def objective(convolution):
        return lambda x, kernel: jnp.abs(convolution(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)).sum()

    ours, theirs = (
        jax.grad(objective(convolution), (0, 1))(*cast(dtype))
        for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(*(np.asarray(y, np.complex128) for y in (a, b)), rtol=2e-2, atol=0.1)


@pytest.mark.parametrize(("ours", "theirs"), [(ops.conv_general_dilated, lax.conv_general_dilated),
                                              (ops.conv_transpose, lax.conv_transpose)])  # fmt: skip
def test_signatures(ours, theirs):
    a, b = ([(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()] for f in (ours, theirs))
    assert a == b


@given(
    shapes=st.sampled_from([((2, 5, 5, 8), (3, 3, 8, 4)), ((2, 6, 4, 8), (3, 2, 4, 4)), ((1, 5, 5, 8), (3, 3, 1, 16)),
                            ((0, 5, 5, 8), (1, 1, 8, 4)), ((2, 5, 8), (3, 8, 4)), ((2, 1, 1, 3), (2, 2, 3, 2))]),
    options=st.fixed_dictionaries(
        {"window_strides": st.sampled_from([(1, 1), (2, 1), [3, 3], (1,), (-1, 1)]),
         "padding": st.sampled_from(["SAME", "valid", "SAME_LOWER", ((0, 1), (2, 0)), [[1, 1], [1, 1]], (),
                                     ((-3, 0), (-3, 0))])},
        optional={"lhs_dilation": st.sampled_from([None, (1, 1), (2, 3), (0, 1)]),
                  "rhs_dilation": st.sampled_from([None, (1, 1), (2, 3), (1,), (0, 1)]),
                  "dimension_numbers": st.sampled_from([NHWC, ("NHWC", "HWIO", "NCHW"), None]),
                  "feature_group_count": st.sampled_from([1, 2, 8, -1]),
                  "batch_group_count": st.sampled_from([1, 2]),
                  "precision": st.sampled_from([None, "high"]),
                  "preferred_element_type": st.sampled_from([None, "float32", "int8"])}),
)  # fmt: skip
def test_any_mixture_of_arguments(shapes, options):
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in shapes)
    options = {"dimension_numbers": NHWC} | options
    assert_alike(*(outcome(f, x, kernel, **options) for f in (ops.conv_general_dilated, lax.conv_general_dilated)))


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "axes"),
    [
        ((3, 0, 5, 5, 8), (3, 3, 3, 8, 4), (0, 0)),
        ((0, 5, 5, 8), (3, 3, 3, 8, 4), (None, 0)),
        ((3, 0, 5, 5, 8), (3, 3, 8, 4), (0, None)),
        ((0, 2, 5, 5, 8), (0, 3, 3, 8, 4), (0, 0)),
        ((2, 5, 5, 8), (0, 3, 3, 8, 4), (None, 0)),
        ((0, 2, 5, 5, 8), (3, 3, 8, 4), (0, None)),
    ],
)
def test_vmap_over_nothing(x_shape, kernel_shape, axes):
    x, kernel = jnp.ones(x_shape), jnp.ones(kernel_shape)

    def value_and_gradients(convolution):
        def function(x, kernel):
            return convolution(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)

        gradient = jax.grad(lambda *operands: jnp.sin(function(*operands)).sum(), (0, 1))
        return jax.vmap(lambda *operands: (function(*operands), gradient(*operands)), axes)(x, kernel)

    ours, theirs = value_and_gradients(ops.conv_general_dilated), value_and_gradients(lax.conv_general_dilated)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_default_precision_is_kept_in_the_program():
    def function(x, kernel):
        return ops.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)

    assert "HIGHEST" not in str(jax.make_jaxpr(function)(*cast("float32")))
    with jax.default_matmul_precision("highest"):
        assert "HIGHEST" in str(jax.make_jaxpr(function)(*cast("float32")))
        assert ops.explain(*cast("float32"), (1, 1), "SAME", dimension_numbers=NHWC).reason == "a precision is set"


TRANSPOSED = {
    "bfloat16": (*cast("bfloat16"), {}),
    "float8": (*cast("float8_e4m3fn"), {}),
    "int32": (*cast("int32"), {}),
    "one dimension": (*cast("float32", X[:, 0], KERNEL[0]), {"strides": (2,)}),
    "another layout": (*cast("float32", X.transpose(0, 3, 1, 2)), {"dimension_numbers": ("NCHW", "HWIO", "NCHW")}),
    "consistent padding": (*cast("float32"), {"padding": ((1, 1), (1, 0)), "use_consistent_padding": True}),
    "a precision": (*cast("float32"), {"precision": "highest"}),
    "its own element type": (*cast("bfloat16"), {"preferred_element_type": jnp.bfloat16}),
    "a wider element type": (*cast("bfloat16"), {"preferred_element_type": "float32"}),
    "no such padding": (*cast("float32"), {"padding": "FULL"}),
    "dilation in an array": (*cast("float32"), {"rhs_dilation": np.array([2, 1])}),
    "strides in an array": (*cast("float32"), {"strides": np.array([2, 1])}),
    "a number as strides": (*cast("float32"), {"strides": 2}),
    "wrong channels": (*cast("float32", X, KERNEL[:, :, :3]), {}),
    "no examples": (*cast("float32", X[:0]), {}),
    "an unknown keyword": (*cast("float32"), {"activation": None}),
}


@pytest.mark.parametrize(("x", "kernel", "options"), TRANSPOSED.values(), ids=TRANSPOSED)
def test_odd_transposed_calls(x, kernel, options):
    arguments = {"strides": (2, 2), "padding": "SAME"} | options
    assert_alike(*(outcome(f, x, kernel, **arguments) for f in (ops.conv_transpose, lax.conv_transpose)))
