"""`Conv`: a two-dimensional convolution with symmetric padding, checked arguments and a measured lowering."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype, Initializer, PrecisionLike

from zoo import ops
from zoo.blocks.initializers import he_normal


class Conv(nnx.Conv):
    """Convolves (N, H, W, in_channels) to (N, H', W', out_channels).

    An `nnx.Conv` whose padding is symmetric as in PyTorch, and that is computed by `zoo.ops.conv_general_dilated`.
    Its parameters are `kernel`, shape (kernel height, kernel width, in_channels // groups, out_channels), and
    `bias`, shape (out_channels,).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, one number or (vertical, horizontal).
        stride: step of the kernel, in both directions.
        dilation: distance between neighbouring taps, in both directions (1511.07122).
        groups: number of groups that the channels are split into, each convolved on its own.
        padding: pixels on every side; None for `dilation * (kernel_size - 1) // 2`.
        use_bias: whether a bias is added.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: of products and sums, as `jax.lax.conv_general_dilated` takes it.
        preferred_element_type: dtype in which products are added up, and of the result; None for that of the
            computation.
        kernel_init: initialises the kernel; He's normal (`he_normal`) by default.
        bias_init: initialises the bias; zeros by default.
        rngs: gives the `params` key.

    Raises:
        ValueError: if a number is out of range, or `groups` does not divide both channel counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: int | None = None,
        use_bias: bool = True,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        precision: PrecisionLike = None,
        preferred_element_type: Dtype | None = None,
        kernel_init: Initializer = he_normal,
        bias_init: Initializer = nnx.initializers.zeros,
        rngs: nnx.Rngs,
    ) -> None:
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": min(height, width),
                 "stride": stride, "dilation": dilation, "groups": groups}  # fmt: skip
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        for name in ("in_channels", "out_channels"):
            if sizes[name] % groups:
                raise ValueError(f"groups={groups} does not divide {name}={sizes[name]}")
        if padding is not None and padding < 0:
            raise ValueError(f"padding={padding} must be at least 0")
        vertical, horizontal = (
            ops.symmetric_padding(size, dilation) if padding is None else padding for size in (height, width)
        )
        super().__init__(
            in_channels,
            out_channels,
            (height, width),
            stride,
            padding=((vertical, vertical), (horizontal, horizontal)),
            kernel_dilation=dilation,
            feature_group_count=groups,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=param_dtype,
            precision=precision,
            preferred_element_type=preferred_element_type,
            kernel_init=kernel_init,
            bias_init=bias_init,
            conv_general_dilated=ops.conv_general_dilated,
            rngs=rngs,
        )
