from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from zoo.blocks import DropPath


@pytest.mark.parametrize("shape", [(), (12,), (3, 4), (2, 2, 3), (1, 2, 2, 3)], ids=str)
def test_drops_whole_examples_of_any_rank_and_keeps_the_mean(shape):
    dropped = DropPath(0.25, rngs=nnx.Rngs(0))(jnp.ones((4000, *shape)))
    assert dropped.shape == (4000, *shape)
    per_example = np.asarray(dropped).reshape(4000, -1)
    assert (per_example == per_example[:, :1]).all()
    np.testing.assert_allclose(np.unique(per_example), [0, 1 / 0.75], rtol=1e-6)
    assert per_example.mean() == pytest.approx(1, abs=0.03)


def test_evaluation_and_rate_0_pass_everything():
    x = jnp.ones((8, 2, 2, 3))
    layer = DropPath(0.9, rngs=nnx.Rngs(0))
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(DropPath(0.0, rngs=nnx.Rngs(0))(x), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_bad_rate_is_refused(rate):
    with pytest.raises(ValueError, match=f"rate={rate} must be at least 0 and below 1"):
        DropPath(rate, rngs=nnx.Rngs(0))


def test_a_scalar_is_refused():
    with pytest.raises(ValueError, match="a scalar has no axis of examples"):
        DropPath(0.5, rngs=nnx.Rngs(0))(jnp.ones(()))
