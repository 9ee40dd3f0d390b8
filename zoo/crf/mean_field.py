"""Mean-field inference in the fully connected CRF, without an approximation of its kernels."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from zoo.crf.kernels import appearance_kernel, smoothness_kernel, windowed_appearance_kernel
from zoo.crf.parameters import CRFParameters


@jax.jit
def mean_field(logits: jax.Array, image: jax.Array, parameters: CRFParameters | None = None) -> jax.Array:
    """The marginal probabilities of the classes of each pixel, after all pixels have exchanged messages.

    Algorithm 1 of arXiv 1210.5644, as DeepLab (arXiv 1412.7062, section 3) puts it behind a net. Kernels are
    normalised and include a pixel's message to itself, as in the code that was published with the paper. They are
    exact: time grows with the square of the number of pixels, memory only with their number. For more than about
    128×128 pixels on a CPU set `parameters.window`, as ConvCRF does (arXiv 1805.04777); the smoothness kernel stays
    whole.

    Computes in the dtype of `logits`, float32 at least; `jax.vmap` takes batches. Can be differentiated with respect to
    `logits` and `parameters`.

    Args:
        logits: scores of the classes, from which the unary potentials are the negative log-probabilities; floating,
            shape (H, W, classes).
        image: RGB, uint8, shape (H, W, 3).
        parameters: None for those of DeepLab.

    Returns:
        Probabilities, shape (H, W, classes).

    Raises:
        ValueError: if a shape or dtype is another.
    """
    parameters = CRFParameters() if parameters is None else parameters
    if logits.ndim != 3 or not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"logits must be floating (H, W, classes), not {logits.dtype} {logits.shape}")
    height, width, classes = logits.shape
    if image.shape != (height, width, 3) or image.dtype != jnp.uint8:
        raise ValueError(f"image must be uint8 ({height}, {width}, 3), not {image.dtype} {image.shape}")
    compatibility = parameters.compatibility
    if compatibility is not None and compatibility.shape != (classes, classes):
        raise ValueError(f"compatibility must have the shape ({classes}, {classes}), not {compatibility.shape}")

    dtype = jnp.promote_types(logits.dtype, jnp.float32)
    logits, colours = logits.astype(dtype), image.astype(dtype)
    deviations = parameters.position_deviation, parameters.colour_deviation
    if parameters.window is None:
        appearance = appearance_kernel(colours, *deviations)
    else:
        appearance = windowed_appearance_kernel(colours, *deviations, parameters.window)
    smoothness = smoothness_kernel(height, width, parameters.smoothness_deviation, dtype)

    def iterate(probabilities: jax.Array, _: None) -> tuple[jax.Array, None]:
        messages = parameters.appearance_weight * appearance(probabilities)
        messages += parameters.smoothness_weight * smoothness(probabilities)
        # The Potts model's penalty, the sum over all other classes, is minus a class's own up to a constant.
        penalty = -messages if compatibility is None else messages @ compatibility.T
        return jax.nn.softmax(logits - penalty), None

    return jax.lax.scan(iterate, jax.nn.softmax(logits), length=parameters.iterations)[0]
