from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.data import augment


@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_targets_are_mixed_in_the_proportion_of_the_pixels(mix):
    # Image k is filled with k, so a pixel tells where it came from.
    images = jnp.broadcast_to(jnp.arange(16.0)[:, None, None, None], (16, 8, 8, 3))
    mixed, targets = mix(jax.random.key(3), images, jnp.eye(16), 1.0)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), targets @ jnp.arange(16.0), rtol=1e-5)
    assert (targets < 1).any(axis=1).all()
    assert ((targets > 0).sum(1) == 2).any()


def test_cutmix_pastes_a_rectangle():
    images = jnp.broadcast_to(jnp.arange(16.0)[:, None, None, None], (16, 8, 8, 3))
    mixed, _ = augment.cutmix(jax.random.key(3), images, jnp.eye(16), 1.0)
    foreign = np.asarray((mixed != images).all(-1))
    for patch in foreign[foreign.any((1, 2))]:
        assert patch.sum() == patch.any(1).sum() * patch.any(0).sum()
