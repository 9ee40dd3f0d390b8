"""Every lowering, whatever the rules make of it: its programs for each platform, and the precision of its sums."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from zoo import ops
from zoo.ops.lowering.select import ANY_DIRECTION, LOWERINGS

CHANNELS = 32
GROUPED, DEPTHWISE, DENSE = ((3, 3, 4, CHANNELS), 2), ((3, 3, 1, CHANNELS), 2), ((3, 3, CHANNELS, 8), 2)
CASES = {  # kernel and stride
    "native": DENSE,
    "depthwise": DEPTHWISE,
    "depthwise_pallas": DEPTHWISE,
    "grouped": GROUPED,
    "grouped_32": GROUPED,
    "grouped_64": GROUPED,
    "grouped_128": GROUPED,
    "pointwise": ((1, 1, CHANNELS, 8), 2),
    "winograd": ((3, 3, CHANNELS, 8), 1),
    "im2col": DENSE,
    "dense": DENSE,
}
KERNEL_CALLS = {"cuda": "__gpu$xla.gpu.triton", "tpu": "tpu_custom_call"}  # what Pallas makes
# Triton is compiled for a certain GPU, which need not be there.
GPU = AbstractMesh((), (), abstract_device=AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu"))


@pytest.fixture(params=LOWERINGS)
def lowering(request):
    with ops.force_lowering(request.param):
        yield request.param


def options_of(kernel, stride):
    padding, groups = kernel[0] // 2, CHANNELS // kernel[2]
    return {"window_strides": (stride,) * 2, "padding": ((padding,) * 2,) * 2, "feature_group_count": groups,
            "dimension_numbers": ("NHWC", "HWIO", "NHWC")}  # fmt: skip


@cache
def operands_of(kernel, stride):
    """The input, the kernel and the gradient of the output, in bfloat16."""
    random, out_size = np.random.default_rng(0), -(-6 // stride)
    shapes = (2, 6, 6, CHANNELS), kernel, (2, out_size, out_size, kernel[3])
    return [random.standard_normal(shape).astype(jnp.bfloat16) for shape in shapes]


def all_directions(convolution, case):
    """A function of the operands that gives the convolution and both gradients, as one program."""

    def function(x, kernel, dy):
        y, transpose = jax.vjp(partial(convolution, **options_of(*case)), x, kernel)
        return y, *transpose(dy)

    return jax.jit(function)


@cache
def exact(case):
    with jax.enable_x64(True):
        return all_directions(lax.conv_general_dilated, case)(*(x.astype("float64") for x in operands_of(*case)))


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_platform_has_a_program(lowering, dtype):
    case = CASES[lowering]
    operands = [jax.ShapeDtypeStruct(x.shape, dtype) for x in operands_of(*case)]
    function = all_directions(ops.conv_general_dilated, case)
    unstable = [export.DisabledSafetyCheck.custom_call(name) for name in KERNEL_CALLS.values()]
    # Pallas makes the program of one platform at a time.
    platforms = [["cpu"], ["cuda"], ["tpu"]] if lowering == "depthwise_pallas" else [["cpu", "cuda", "tpu"]]
    for several in platforms:
        for direction in ANY_DIRECTION:
            explain = partial(ops.explain, *operands[:2], **options_of(*case), direction=direction)
            assert {explain(platform=platform) for platform in several} == {(lowering, "forced")}
        with use_abstract_mesh(GPU) if several == ["cuda"] else nullcontext():
            exported = export.export(function, platforms=several, disabled_checks=unstable)(*operands)
        if lowering == "depthwise_pallas":
            name = KERNEL_CALLS.get(*several)
            assert exported.mlir_module().count("custom_call @") == (0 if name is None else 3)
            assert name is None or name in exported.mlir_module()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums_are_in_float32(lowering, dtype):
    """A number is off by its own rounding to the dtype, and by what sums in float32 lose."""
    case = CASES[lowering]
    operands = [x.astype(dtype) for x in operands_of(*case)]
    ours = all_directions(ops.conv_general_dilated, case)(*operands)
    for a, b in zip(ours, exact(case), strict=True):
        assert a.dtype == dtype
        rounding = float(jnp.finfo(dtype).eps) / 2
        np.testing.assert_allclose(np.asarray(a, "float64"), b, rtol=rounding, atol=2e-6 * np.abs(b).max())


@pytest.mark.parametrize(("width", "groups"), [(32, 4), (64, 2), (128, 1)])
def test_super_groups_are_as_wide_as_their_name_says(width, groups):
    x, kernel = jax.ShapeDtypeStruct((2, 6, 6, 128), "float32"), jax.ShapeDtypeStruct((3, 3, 4, 128), "float32")
    options = options_of(kernel.shape, 1) | {"feature_group_count": 32}
    with ops.force_lowering(f"grouped_{width}"):
        program = jax.jit(partial(ops.conv_general_dilated, **options)).lower(x, kernel).as_text()
        assert f"feature_group_count = {groups} " in program
        options["feature_group_count"] = 2  # of 64 channels
        choice = ops.explain(x, jax.ShapeDtypeStruct((3, 3, 64, 128), "float32"), **options)
    if width == 128:
        assert choice == ("grouped_128", "forced")
    else:
        assert choice.reason.endswith(f"groups=2 of 64 channels cannot be packed into {width}")
