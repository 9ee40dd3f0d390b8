"""`zoo.ops.conv_transpose` against `jax.lax.conv_transpose`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from zoo import ops


def agree(x_shape, kernel_shape, *args, **options):
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, kernel = (jnp.asarray(random.standard_normal(shape)) for shape in (x_shape, kernel_shape))

        def value_and_gradients(convolution):
            def objective(x, kernel):
                return jnp.sin(convolution(x, kernel, *args, **options)).sum()

            def compute(x, kernel):
                return convolution(x, kernel, *args, **options), jax.grad(objective, (0, 1))(x, kernel)

            return jax.jit(compute)(x, kernel)

        ours, theirs = value_and_gradients(ops.conv_transpose), value_and_gradients(lax.conv_transpose)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@settings(max_examples=8)  # two programs each
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(["SAME", "VALID", ((1, 0), (2, 3))]),
    dilation=st.sampled_from([None, (1, 2), (2, 2)]),
    transpose_kernel=st.booleans(),
)
def test_value_and_both_gradients_agree_in_float64(kernel, strides, padding, dilation, transpose_kernel):
    channels = (2, 3) if transpose_kernel else (3, 2)
    agree((2, 4, 3, 3), (*kernel, *channels), strides, padding, dilation, transpose_kernel=transpose_kernel)


def test_it_is_the_adjoint_of_the_convolution():
    random = np.random.default_rng(0)
    x, y, kernel = (
        jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in ((1, 8, 8, 3), (1, 4, 4, 5), (3, 3, 3, 5))
    )
    forward = ops.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    backward = ops.conv_transpose(y, kernel, (2, 2), "SAME", transpose_kernel=True)
    np.testing.assert_allclose(jnp.vdot(forward, y), jnp.vdot(x, backward), rtol=1e-4)
