"""`accelerate`: the measured lowerings for a model written without them."""

from __future__ import annotations

from flax import nnx

from zoo.ops.convolution import conv_general_dilated


def accelerate(model: nnx.Module) -> int:
    """Makes every `nnx.Conv` of a model compute by `zoo.ops.conv_general_dilated`, in place.

    Parameters stay as they are, and so do results, up to rounding. `nnx.ConvTranspose` has no such setting and is left
    alone; `zoo.ops.conv_transpose` can take the place of `jax.lax.conv_transpose` in your own layers.

    Args:
        model: any NNX module; call this before `nnx.jit` or `nnx.split`.

    Returns:
        How many convolutions were set.
    """
    convolutions = [module for _, module in nnx.iter_modules(model) if isinstance(module, nnx.Conv)]
    for convolution in convolutions:
        convolution.conv_general_dilated = conv_general_dilated
    return len(convolutions)
