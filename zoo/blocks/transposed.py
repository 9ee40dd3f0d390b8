"""Layers that enlarge a map: the transposed convolution, and the resize-convolution without its checkerboard."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo import ops
from zoo.blocks.conv import Conv
from zoo.blocks.initializers import he_normal


class ConvTranspose(nnx.Module):
    """Enlarges (N, H, W, in_channels) to (N, H', W', out_channels) by the adjoint of a strided convolution.

    With H' = stride·(H - 1) + dilation·(kernel_size - 1) + 1 - 2·padding + output_padding (1603.07285, relationship
    14), as in PyTorch. Without bias it is the gradient, by its input, of `Conv` of the same geometry whose kernel is
    this one with its two channel axes swapped. Its parameters are `kernel`, shape (kernel height, kernel width,
    in_channels, out_channels), and `bias`, shape (out_channels,).

    Where the stride does not divide the kernel size, neighbouring outputs get unequally many inputs: a checkerboard
    (Odena et al. 2016, Distill, doi 10.23915/distill.00003). Kernel 4 with stride 2 avoids it, as does `ResizeConv`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, in both directions.
        stride: factor by which the map grows.
        dilation: distance between neighbouring taps.
        padding: pixels taken off on every side; None for `dilation * (kernel_size - 1) // 2`.
        output_padding: rows and columns added at the bottom and on the right; a strided convolution maps several
            sizes to one, and this chooses among them.
        use_bias: whether a bias is added.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises the kernel; He's normal by default.
        bias_init: initialises the bias; zeros by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 4,
        *,
        stride: int = 2,
        dilation: int = 1,
        padding: int | None = None,
        output_padding: int = 0,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = he_normal,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size,
                 "stride": stride, "dilation": dilation}  # fmt: skip
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        extent = dilation * (kernel_size - 1)
        if padding is None:
            padding = ops.symmetric_padding(kernel_size, dilation)
        elif not 0 <= padding <= extent:
            raise ValueError(f"padding={padding} must be from 0 to dilation * (kernel_size - 1) = {extent}")
        if not 0 <= output_padding < max(stride, dilation):
            raise ValueError(
                f"output_padding={output_padding} must be at least 0 and below stride={stride} or dilation={dilation}"
            )
        self.stride = stride
        self.dilation = dilation
        self.padding = (extent - padding, extent - padding + output_padding)  # of the input spread by the stride
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, param_dtype))
        self.bias = nnx.data(nnx.Param(bias_init(rngs.params(), (out_channels,), param_dtype)) if use_bias else None)
        self.dtype = dtype
        self.precision = precision
        self.preferred_element_type = preferred_element_type

    def __call__(self, x: jax.Array) -> jax.Array:
        bias = None if self.bias is None else self.bias[...]
        x, kernel, bias = promote_dtype((x, self.kernel[...], bias), dtype=self.dtype)
        y = ops.conv_transpose(
            x,
            kernel.swapaxes(2, 3),  # as the convolution that is transposed has it
            (self.stride, self.stride),
            (self.padding, self.padding),
            (self.dilation, self.dilation),
            transpose_kernel=True,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )
        return y if bias is None else y + bias


class ResizeConv(nnx.Module):
    """(N, H, W, in_channels) -> (N, scale·H, scale·W, out_channels): nearest-neighbour resize, then convolution.

    Every output gets equally many inputs, whatever kernel and scale (Odena et al. 2016, Distill, doi
    10.23915/distill.00003).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps of the convolution, odd.
        scale: factor by which the map grows.
        use_bias: whether a bias is added.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises the kernel; He's normal by default.
        bias_init: initialises the bias; zeros by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or `kernel_size` is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        scale: int = 2,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = he_normal,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        if scale < 1:
            raise ValueError(f"scale={scale} must be at least 1")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd: an even one would shift the map")
        self.scale = scale
        self.conv = Conv(
            in_channels,
            out_channels,
            kernel_size,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            preferred_element_type=preferred_element_type,
            kernel_init=kernel_init,
            bias_init=bias_init,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x.repeat(self.scale, axis=1).repeat(self.scale, axis=2))
