from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from zoo.ops import channel_shuffle


def test_known_answer():
    x = jnp.arange(6).reshape(1, 1, 1, 6)
    np.testing.assert_array_equal(channel_shuffle(x, 2).ravel(), [0, 3, 1, 4, 2, 5])


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 6, 12])
def test_shuffling_with_the_group_size_undoes_it(groups):
    x = jnp.arange(2 * 3 * 3 * 12).reshape(2, 3, 3, 12)
    np.testing.assert_array_equal(channel_shuffle(channel_shuffle(x, groups), 12 // groups), x)


@pytest.mark.parametrize("groups", [0, 5])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    with pytest.raises(ValueError, match=f"groups={groups} does not divide channels=12"):
        channel_shuffle(jnp.zeros((1, 1, 1, 12)), groups)
