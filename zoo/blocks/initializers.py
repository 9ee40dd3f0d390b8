"""Initialisation of kernels."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype


def he_normal(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Normal with variance 2 / fan-out (1502.01852, section 2.2), where fan-out is all axes but the last but one.

    Fan-out counts the output channels of all groups, as torchvision's nets do: depthwise kernels start small and so,
    being normalised, learn fast.

    NumPy draws it, from the bits of the key: JAX would compile a program for each new shape, which for a whole net
    takes ten seconds and more. A seed gives the same weights on every platform and version of JAX.
    """
    deviation = math.sqrt(2 / math.prod((*shape[:-2], shape[-1])))

    def draw(bits: jax.Array) -> np.ndarray:
        return np.random.default_rng(np.asarray(bits)).normal(0, deviation, shape).astype(dtype)

    bits = jax.random.key_data(key)
    if not isinstance(bits, jax.core.Tracer):
        return jnp.asarray(draw(bits))  # a callback would be a program for each shape, too
    return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), bits, vmap_method="sequential")
