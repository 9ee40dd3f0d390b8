"""ResNeXt's block in the three forms that its paper shows to be the same function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Dtype

from zoo import ops
from zoo.blocks.batch_norm import BatchNorm
from zoo.blocks.conv import Conv
from zoo.blocks.conv_norm_act import Activation, ConvNormAct, Norm
from zoo.blocks.residual import Bottleneck

_FORMS = ("a", "b", "c")


class ResNeXtBlock(Bottleneck):
    """(N, H, W, in_channels) -> (N, H', W', out_channels) in form (a), (b) or (c) (1611.05431, section 3.3, figure 3).

    - (a): `cardinality` bottlenecks side by side, each 1×1, 3×3, 1×1, whose outputs are added up.
    - (b): `cardinality` branches, each 1×1, 3×3, whose outputs are concatenated for one 1×1 convolution.
    - (c): one bottleneck whose 3×3 convolution has `cardinality` groups; it is the `Bottleneck` of the ResNeXt models.

    The parameters are those of (c) in every form, and branch i works with the i-th part of them, so that weights go
    from one form to another as they are. Normalisations see all branches at once, which for batch normalisation is
    the same as branch by branch: the first two their channels concatenated, the last one the sum. All forms take as
    many multiply-accumulates; (a) and (b) are here to compare, (c) has the fewest operations to launch.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        hidden_channels: channels of the 3×3 convolutions of all branches together.
        stride: step of the 3×3 convolutions.
        dilation: of the 3×3 convolutions.
        cardinality: how many branches.
        form: "a", "b" or "c".
        drop_path: probability of dropping what is added to the shortcut.
        norm: makes the normalisations.
        act: activation.
        dtype: of the computation; None for that of input and parameters.
        param_dtype: of the parameters.
        rngs: gives the `params` key, and the `dropout` key for `drop_path`.

    Raises:
        ValueError: if a number is out of range, `cardinality` does not divide `hidden_channels`, or the form is
            not known.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        cardinality: int = 32,
        form: str = "c",
        drop_path: float = 0.0,
        norm: Norm = BatchNorm,
        act: Activation = jax.nn.relu,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        if form not in _FORMS:
            raise ValueError(f"form={form!r} must be one of {', '.join(_FORMS)}")
        if cardinality < 1 or hidden_channels % cardinality:
            raise ValueError(f"cardinality={cardinality} does not divide hidden_channels={hidden_channels}")
        super().__init__(
            in_channels,
            out_channels,
            hidden_channels,
            stride=stride,
            dilation=dilation,
            groups=cardinality,
            drop_path=drop_path,
            norm=norm,
            act=act,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.form = form
        self.cardinality = cardinality
        self.stride = stride
        self.dilation = dilation

    def residual(self, x: jax.Array) -> jax.Array:
        """What is added to the shortcut, shape (N, H', W', out_channels)."""
        if self.form == "c":
            return super().residual(x)
        branches = [x] * self.cardinality
        for unit, stride, dilation in ((self.reduce, 1, 1), (self.filter, self.stride, self.dilation)):
            outputs = self._convolve_branches(unit.conv, branches, stride, dilation, kernel_axis=3)
            y = self.act(_biased_and_normalized(unit, jnp.concatenate(outputs, axis=-1)))
            branches = jnp.split(y, self.cardinality, axis=-1)
        if self.form == "b":
            return self.expand(y)
        y, *others = self._convolve_branches(self.expand.conv, branches, kernel_axis=2)
        return _biased_and_normalized(self.expand, sum(others, y))

    def _convolve_branches(
        self, conv: Conv, branches: list[jax.Array], stride: int = 1, dilation: int = 1, *, kernel_axis: int
    ) -> list[jax.Array]:
        """Convolves each branch with its part of the kernel, which is split by inputs (axis 2) or outputs (axis 3)."""
        padding = ops.symmetric_padding(conv.kernel.shape[0], dilation)
        kernels = jnp.split(conv.kernel[...], self.cardinality, axis=kernel_axis)
        outputs = []
        for branch, kernel in zip(branches, kernels, strict=True):
            outputs.append(
                ops.conv_general_dilated(
                    *conv.promote_dtype((branch, kernel), dtype=conv.dtype),
                    (stride, stride),
                    ((padding, padding), (padding, padding)),
                    rhs_dilation=(dilation, dilation),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
            )
        return outputs


def _biased_and_normalized(unit: ConvNormAct, y: jax.Array) -> jax.Array:
    """What a unit makes of the outputs of its convolution, but for the activation; y has shape (N, H, W, channels)."""
    if unit.conv.bias is not None:  # where a norm has been folded into the convolution
        y = y + unit.conv.bias[...].astype(y.dtype)
    return y if unit.norm is None else unit.norm(y)
