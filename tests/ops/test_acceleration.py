from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo import ops


class Foreign(nnx.Module):
    """A net as anybody writes it."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.body = nnx.List([nnx.Conv(8, 8, (3, 3), feature_group_count=4, rngs=rngs) for _ in range(2)])
        self.line = nnx.Conv(8, 8, (3,), rngs=rngs)
        self.up = nnx.ConvTranspose(8, 2, (2, 2), (2, 2), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        for convolution in self.body:
            x = nnx.relu(convolution(x))
        return self.up(x) + self.line(x.mean(1)).mean()


def test_every_convolution_is_set_and_the_results_stay():
    model = Foreign(nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 3)), jnp.float32)
    before = model(x)
    assert "zoo_convolution" not in str(jax.make_jaxpr(nnx.view(model))(x))
    assert ops.accelerate(model) == 4
    assert str(jax.make_jaxpr(nnx.view(model))(x)).count("zoo_convolution") == 3
    np.testing.assert_allclose(model(x), before, atol=1e-5)
