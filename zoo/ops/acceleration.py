"""`accelerate`: the measured lowerings for a model that was written without them."""

from __future__ import annotations

from flax import nnx

from zoo.ops.convolution import conv_general_dilated


def accelerate(model: nnx.Module) -> int:
    """Makes every `nnx.Conv` of a model compute by `zoo.ops.conv_general_dilated`, in place.

    Parameters and results stay as they are, but for rounding. `nnx.ConvTranspose` has no such setting and is left
    alone; `zoo.ops.conv_transpose` can take the place of `jax.lax.conv_transpose` in a layer of one's own.

    Args:
        model: any NNX module; call this before `nnx.jit` or `nnx.split`.

    Returns:
        How many convolutions were set.
    """
    convolutions = [module for _, module in nnx.iter_modules(model) if isinstance(module, nnx.Conv)]
    for convolution in convolutions:
        convolution.conv_general_dilated = conv_general_dilated
    return len(convolutions)
