"""Batch normalisation in as few passes over memory as possible, whose running statistics are right from the start."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer

from zoo.ops import channel_affine, channel_sums

_WARM_UP = 9  # as in the average of the weights that training keeps: (1 + step) / (10 + step)
CONVERGED = 1e9  # a number of batches that makes n / (n + 9) 1 in float32


class NumBatches(nnx.BatchStat):
    """How many batches the running statistics have seen: what only further training needs."""


class BatchNorm(nnx.BatchNorm):
    """Normalises every channel over the batch (1502.03167): (..., channels) to the same shape.

    `nnx.BatchNorm` with the constants of most papers (PyTorch writes the momentum as 0.1), computed as one sum and
    one scaling of the input, whose gradients save nothing but that input. Statistics are in float32, and over the
    global batch where that is sharded by `jax.jit`; under `shard_map`, `pmap` and `vmap`, give the `axis_name`.

    The running statistics of a new layer are at first those of its first batch. After n batches, the next one leaves
    them a share of min(momentum, n / (n + 9)), so that a short run ends with statistics of the net that it ends with:
    the mean 0 and variance 1 that they are initialised to have no part in them, and those of the first, untrained steps
    a small one. Once n / (n + 9) has reached the momentum (81 batches for 0.9) they are the plain exponential average,
    as they are from the start where they have been put in from elsewhere.

    With `virtual_batches`, each of so many equal, consecutive shares of the batch is normalised by its own statistics
    in training (ghost batch normalization, 1705.08741, algorithm 1): where the examples are sharded over as many
    devices, by those of each device's share. The running statistics then move towards the means over the shares of
    their means and of their variances, so that differences between the shares' means are no part of the variance.
    Evaluation stays the same.

    Args:
        channels: size of the last axis.
        use_running_average: whether to normalise by the running statistics; `model.eval()` and `model.train()` set it.
        momentum: share of the running statistics that a training step keeps.
        epsilon: added to the variance.
        use_bias: whether a learned bias is added.
        use_scale: whether a learned scale is applied.
        dtype: of the result; None for that of the input.
        param_dtype: of scale and bias.
        bias_init: initialises the bias; zeros by default.
        scale_init: initialises the scale; ones by default.
        axis_name: of a mapped axis, over which the statistics of the batch are averaged.
        use_fast_variance: whether the variance is the mean of squares less the square of the mean, in one pass;
            otherwise it is that of the differences from the mean, which is exact where the mean is much larger.
        virtual_batches: into how many shares a batch is split in training; may be set anew on a built layer.
        rngs: gives the `params` key.

    Raises:
        ValueError: if there is no channel or virtual batch, or the momentum is not from 0 to 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        use_running_average: bool | None = False,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        use_bias: bool = True,
        use_scale: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        bias_init: Initializer = nnx.initializers.zeros,
        scale_init: Initializer = nnx.initializers.ones,
        axis_name: str | None = None,
        use_fast_variance: bool = True,
        virtual_batches: int = 1,
        rngs: nnx.Rngs,
    ) -> None:
        if channels < 1:
            raise ValueError(f"channels={channels} must be at least 1")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum} must be from 0 to 1")
        if virtual_batches < 1:
            raise ValueError(f"virtual_batches={virtual_batches} must be at least 1")
        super().__init__(
            channels,
            use_running_average=use_running_average,
            momentum=momentum,
            epsilon=epsilon,
            use_bias=use_bias,
            use_scale=use_scale,
            dtype=dtype,
            param_dtype=param_dtype,
            bias_init=bias_init,
            scale_init=scale_init,
            axis_name=axis_name,
            use_fast_variance=use_fast_variance,
            rngs=rngs,
        )
        self.virtual_batches = virtual_batches
        # A float, as whoever averages the statistics of several nets or devices averages this as well.
        self.num_batches = NumBatches(jnp.zeros((), jnp.float32))

    def __call__(
        self, x: jax.Array, use_running_average: bool | None = None, *, mask: jax.Array | None = None
    ) -> jax.Array:
        """Normalises `x`; a training step also moves the running statistics.

        Args:
            x: shape (..., channels); virtual batches are shares of its first axis.
            use_running_average: instead of the layer's own.
            mask: of a shape that broadcasts to that of `x`; the statistics of the batch are of where it is true.

        Raises:
            ValueError: in training, if `virtual_batches` does not divide the batch.
        """
        if use_running_average is None:
            use_running_average = self.use_running_average
        x = x.astype(self.dtype or x.dtype)
        if use_running_average:
            return self._normalized(x, self.mean[...], self.var[...])
        if self.virtual_batches == 1:
            mean, variance = self._batch_statistics(x, mask)
            self._move_running_statistics(mean, variance)
            return self._normalized(x, mean, variance)
        if x.shape[0] % self.virtual_batches:
            raise ValueError(f"virtual_batches={self.virtual_batches} does not divide the batch of {x.shape[0]}")
        split = (self.virtual_batches, x.shape[0] // self.virtual_batches, *x.shape[1:])
        shares = x.reshape(split)
        masks = None if mask is None else jnp.broadcast_to(mask, x.shape).reshape(split)
        means, variances = jax.vmap(self._batch_statistics)(shares, masks)
        self._move_running_statistics(means.mean(0), variances.mean(0))
        return jax.vmap(self._normalized)(shares, means, variances).reshape(x.shape)

    def _normalized(self, x: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
        scale = jax.lax.rsqrt(variance + self.epsilon)
        if self.scale is not None:
            scale = self.scale[...] * scale
        shift = -mean * scale if self.bias is None else self.bias[...] - mean * scale
        return channel_affine(x, scale, shift)

    def _batch_statistics(self, x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Mean and variance of every channel, both of shape (channels,), in float32 at least."""
        if mask is None:
            count: Any = math.prod(x.shape[:-1])
        else:
            mask = jnp.broadcast_to(mask, x.shape)
            count = mask.sum(range(x.ndim - 1))

        def where_asked(x: jax.Array) -> jax.Array:
            return x if mask is None else jnp.where(mask, x, 0)

        def over_devices(means: Any) -> Any:
            if self.axis_name is None:
                return means
            return jax.lax.pmean(means, self.axis_name)

        chosen = where_asked(x)
        squares, total = channel_sums(chosen, chosen)
        if self.use_fast_variance:
            mean, mean_square = over_devices((total / count, squares / count))
            return mean, jnp.maximum(mean_square - mean**2, 0)
        mean = over_devices(total / count)
        differences = where_asked(x - mean)
        return mean, over_devices(channel_sums(differences, differences)[0] / count)

    def _move_running_statistics(self, mean: jax.Array, variance: jax.Array) -> None:
        seen, first_mean, first_variance = self.num_batches[...], self.mean[0], self.var[0]
        # Where no batch was seen and yet they are not the initial 0 and 1, somebody has put them there.
        is_new = (first_mean == 0) & (first_variance == 1)
        seen = jnp.where((seen > 0) | is_new, seen, CONVERGED)
        keep = jnp.minimum(self.momentum, seen / (seen + _WARM_UP))
        # `variable[...] = ` would ask tracers where they lie, and in a long program the answer takes long.
        for variable, of_batch in ((self.mean, mean), (self.var, variance)):
            variable.set_value((keep * variable[...] + (1 - keep) * of_batch).astype(variable.dtype))
        self.num_batches.set_value(seen + 1)
