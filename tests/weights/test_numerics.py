from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo.blocks import ConvNormAct
from zoo.weights.numerics import Numerics


def test_numerics_of_a_model_can_be_read_and_set():
    unit = ConvNormAct(1, 1, 3, stride=2, rngs=nnx.Rngs(0))
    assert Numerics.of(unit) == Numerics(epsilon=1e-5)
    ported = Numerics(epsilon=1e-3, tensorflow_padding=True)
    ported.apply(unit)
    assert Numerics.of(unit) == ported


def test_tensorflow_pads_behind_an_even_image_only():
    unit = ConvNormAct(1, 1, 3, stride=2, act=None, rngs=nnx.Rngs(0))
    unit.conv.kernel[...] = jnp.zeros((3, 3, 1, 1)).at[0, 0].set(1)  # gives the pixel at the upper left
    unit.eval()
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(unit(image)[0, :, :, 0], [[0, 0], [0, 5]], rtol=1e-4)
    Numerics(tensorflow_padding=True).apply(unit)
    np.testing.assert_allclose(unit(image)[0, :, :, 0], [[0, 2], [8, 10]], rtol=1e-4)
