"""The channel shuffle of ShuffleNet."""

from __future__ import annotations

import jax


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Interleaves the channels of `groups` groups, so that the next grouped convolution sees all of them.

    Reshape, transpose, reshape (1707.01083, section 3.1). Shuffling with `groups` and then with
    `channels // groups` is the identity.

    Args:
        x: shape (..., channels), any dtype.
        groups: how many groups the channels are in; 1 leaves them as they are.

    Returns:
        An array of the shape and dtype of `x`.

    Raises:
        ValueError: if `groups` does not divide the channels.
    """
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        raise ValueError(f"groups={groups} does not divide channels={channels}")
    return x.reshape(*x.shape[:-1], groups, channels // groups).swapaxes(-1, -2).reshape(x.shape)
