"""Batch normalisation in as few passes over memory as it takes."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo.ops import channel_affine, channel_sums


class BatchNorm(nnx.BatchNorm):
    """Normalises every channel over the batch (1502.03167): (..., channels) to the same shape.

    `nnx.BatchNorm` with the constants of most papers (PyTorch writes the momentum as 0.1), computed as one sum and
    one scaling of the input, whose gradients save nothing but that input. Statistics are in float32, and over the
    global batch where that is sharded by `jax.jit`.

    Args:
        channels: size of the last axis.
        momentum: share of the running statistics that a training step keeps.
        epsilon: added to the variance.
        dtype: of the result; None for that of the input.
        param_dtype: of scale and bias.
        rngs: not used for anything random; as for every layer.
    """

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        super().__init__(channels, momentum=momentum, epsilon=epsilon, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

    def __call__(  # type: ignore[override]  # takes no mask
        self, x: jax.Array, use_running_average: bool | None = None
    ) -> jax.Array:
        assert self.scale is not None
        assert self.bias is not None
        if use_running_average is None:
            use_running_average = self.use_running_average
        x = x.astype(self.dtype or x.dtype)
        if use_running_average:
            mean, variance = self.mean[...], self.var[...]
        else:
            count = math.prod(x.shape[:-1])
            squares, total = channel_sums(x, x)
            mean = total / count
            variance = jnp.maximum(squares / count - mean**2, 0)
            self.mean[...] = self.momentum * self.mean[...] + (1 - self.momentum) * mean
            self.var[...] = self.momentum * self.var[...] + (1 - self.momentum) * variance
        scale = self.scale[...] * jax.lax.rsqrt(variance + self.epsilon)
        return channel_affine(x, scale, self.bias[...] - mean * scale)
