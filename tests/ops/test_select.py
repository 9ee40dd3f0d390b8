"""Rules, forced lowerings, and the size of the programs they make."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from zoo import ops
from zoo.ops.lowering import select
from zoo.ops.lowering.primitive import register_platforms
from zoo.ops.lowering.select import ANY_DIRECTION, LOWERINGS, Choice, Rule

NHWC = ("NHWC", "HWIO", "NHWC")
KERNELS = {
    "depthwise": ((3, 3, 1, 8), 8),
    "grouped": ((3, 3, 2, 8), 4),
    "pointwise": ((1, 1, 8, 4), 1),
    "dense": ((3, 3, 8, 4), 1),
}


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def sine(convolution, groups=1, **options):
    """A scalar function of (x, kernel) with a derivative of every order."""
    options = {"window_strides": (1, 1), "padding": "SAME"} | options
    convolve = partial(convolution, dimension_numbers=NHWC, feature_group_count=groups, **options)
    return lambda x, kernel: jnp.sin(convolve(x, kernel)).sum()


def program(function, *operands, platform="cpu"):
    """The lowered program of a function that was not traced before."""
    return (
        jax.jit(lambda *operands: function(*operands)).trace(*operands).lower(lowering_platforms=(platform,)).as_text()
    )


def explain(x, kernel, groups=1, strides=(1, 1), padding="SAME", **options):
    return ops.explain(x, kernel, strides, padding, dimension_numbers=NHWC, feature_group_count=groups, **options)


@pytest.fixture
def add_rule(monkeypatch):
    def add(*arguments):
        monkeypatch.setattr(select, "RULES", (Rule(*arguments), *select.RULES))
        register_platforms()

    return add


@pytest.mark.parametrize(("name", "kernel", "groups"), [(name, *case) for name, case in KERNELS.items()])
def test_explain_names_the_lowering_of_each_platform(name, kernel, groups):
    x, kernel = struct(1, 5, 5, 8), struct(*kernel)
    for direction in ANY_DIRECTION:
        choice = explain(x, kernel, groups, platform="cpu", direction=direction)
        assert choice.lowering == name
        assert "docs/performance.md" in choice.reason
        assert explain(x, kernel, groups, platform="tpu", direction=direction).lowering == "native"
    with ops.force_lowering("native"):
        assert explain(x, kernel, groups, platform="cpu") == ("native", "forced")


@pytest.mark.parametrize(
    ("x", "kernel", "options", "lowering"),
    [
        (struct(4, 16, 16, 32), struct(3, 3, 32, 64), {}, "winograd"),
        (struct(4, 16, 16, 32), struct(3, 3, 32, 64), {"rhs_dilation": (2, 2)}, "winograd"),
        (struct(1, 14, 14, 32), struct(3, 3, 32, 64), {"padding": "VALID"}, "dense"),  # 9 tiles
        (struct(2, 14, 14, 32), struct(3, 3, 32, 64), {"padding": "VALID"}, "winograd"),
        (struct(1, 12, 12, 32), struct(3, 3, 32, 64), {}, "dense"),
        (struct(4, 16, 16, 16), struct(3, 3, 16, 64), {}, "dense"),
        (struct(4, 16, 16, 32), struct(3, 3, 32, 16), {}, "dense"),
        (struct(4, 16, 16, 32, dtype="bfloat16"), struct(3, 3, 32, 64, dtype="bfloat16"), {}, "dense"),
        (struct(4, 16, 16, 32), struct(3, 5, 32, 64), {}, "dense"),
        (struct(4, 16, 16, 64), struct(3, 3, 32, 64), {"groups": 2}, "winograd"),
        (struct(4, 16, 16, 32), struct(3, 3, 16, 64), {"groups": 2}, "grouped"),
        (struct(1, 640, 640, 64), struct(3, 3, 64, 64), {}, "dense"),  # an example's tiles alone take 472 MB
    ],
)
def test_winograd_is_for_many_channels_and_tiles(x, kernel, options, lowering):
    for direction in ANY_DIRECTION:
        assert explain(x, kernel, platform="cpu", direction=direction, **options).lowering == lowering


@pytest.mark.parametrize(
    ("x", "options", "reason"),
    [
        (struct(1, 5, 5, 8), {"precision": "highest"}, "a precision is set"),
        (struct(1, 5, 5, 8), {"preferred_element_type": "float64"}, "preferred_element_type=float64"),
        (struct(5, 5, 8), {}, "not a two-dimensional convolution"),
        (struct(1, 5, 5, 8, dtype="int32"), {}, "no lowering for int32 activations"),
        (struct(0, 5, 0, 8), {}, "empty"),
    ],
)
def test_explain_tells_why_a_call_is_left_to_lax(x, options, reason):
    kernel = struct(*[3] * (len(x.shape) - 2), 8, 4, dtype=x.dtype)
    options |= {} if len(x.shape) == 4 else {"dimension_numbers": ("NHC", "HIO", "NHC")}
    choice = ops.explain(x, kernel, [1] * (len(x.shape) - 2), "SAME", **{"dimension_numbers": NHWC} | options)
    assert choice.lowering == "native"
    assert reason in choice.reason


def test_explain_knows_the_gradients_of_a_transposed_convolution():
    x, kernel, options = struct(1, 5, 5, 8), struct(3, 3, 8, 8), {"padding": ((1, 1), (1, 1)), "platform": "cpu"}
    strides = (5, 5)
    # Forward it is the input gradient of a convolution of 25 phases, and its own input gradient is that convolution.
    lowerings = [
        explain(x, kernel, lhs_dilation=strides, direction=direction, **options).lowering for direction in ANY_DIRECTION
    ]
    assert lowerings == ["native", "dense", "dense"]


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="unknown direction 'backward'; there are forward, input_gradient, kernel_gr"):
        explain(struct(1, 5, 5, 8), struct(3, 3, 8, 4), direction="backward")


def test_a_rule_reaches_the_program_of_its_platform_and_direction(add_rule):
    x, kernel = struct(2, 5, 5, 8), struct(*KERNELS["depthwise"][0])
    function = sine(ops.conv_general_dilated, 8)
    gradients = {"forward": function, "kernel_gradient": jax.grad(function, 1)}
    assert program(gradients["kernel_gradient"], x, kernel, platform="cuda").count("stablehlo.convolution") == 2

    add_rule(("cuda",), ("kernel_gradient",), lambda problem: True, Choice("depthwise", "for the test"))
    assert explain(x, kernel, 8, platform="cuda", direction="kernel_gradient") == ("depthwise", "for the test")
    assert explain(x, kernel, 8, platform="cuda").lowering == "native"
    assert program(gradients["forward"], x, kernel, platform="cuda").count("stablehlo.convolution") == 1
    assert program(gradients["kernel_gradient"], x, kernel, platform="cuda").count("stablehlo.convolution") == 1
    assert program(gradients["kernel_gradient"], x, kernel, platform="rocm").count("stablehlo.convolution") == 2


def test_a_rule_sees_dtype_and_batch(add_rule):
    add_rule(("cpu",), ANY_DIRECTION, lambda p: p.dtype == "bfloat16" and p.batch > 4, Choice("native", "for the test"))
    for dtype, batch, lowering in (
        ("bfloat16", 5, "native"),
        ("bfloat16", 4, "pointwise"),
        ("float32", 5, "pointwise"),
    ):
        x, kernel = struct(batch, 5, 5, 8, dtype=dtype), struct(1, 1, 8, 4, dtype=dtype)
        assert explain(x, kernel, platform="cpu").lowering == lowering
        is_convolution = "stablehlo.convolution" in program(sine(ops.conv_general_dilated), x, kernel)
        assert is_convolution == (lowering == "native")


@pytest.mark.slow
@pytest.mark.parametrize("forced", sorted(LOWERINGS.keys() - {"native", "grouped_32", "grouped_64"}))
@pytest.mark.parametrize(("kernel", "groups"), [*KERNELS.values(), ((3, 3, 1, 4), 1)], ids=[*KERNELS, "one channel"])
def test_a_forced_lowering_computes_what_it_fits_and_its_gradients(forced, kernel, groups, float64):
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape)) for shape in ((2, 5, 5, kernel[2] * groups), kernel))
    with ops.force_lowering(forced):
        choices = {explain(x, kernel, groups, platform=p, direction=d) for p in ("cpu", "tpu") for d in ANY_DIRECTION}
        function = sine(ops.conv_general_dilated, groups)
        ours = jax.value_and_grad(function, (0, 1))(x, kernel)
        text = str(jax.make_jaxpr(jax.grad(function, (0, 1)))(x, kernel))
    theirs = jax.value_and_grad(sine(lax.conv_general_dilated, groups), (0, 1))(x, kernel)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-10), ours, theirs)
    assert text.count(f"forced={forced}") == 3  # both gradients, and the convolution itself
    (choice,) = choices
    fits = {"depthwise": groups == x.shape[-1], "depthwise_pallas": groups == x.shape[-1] == kernel.shape[-1],
            "grouped": groups > 1, "grouped_128": groups > 1, "dense": groups == 1,
            "pointwise": kernel.shape[:2] == (1, 1), "im2col": groups == 1 and kernel.shape[:2] != (1, 1),
            "winograd": groups == 1 and kernel.shape[:2] == (3, 3)}  # fmt: skip
    if fits[forced]:
        assert choice == (forced, "forced")
    else:
        assert choice.lowering == "native"
        assert choice.reason.startswith(f"{forced!r} is forced, but ")


def test_a_forced_lowering_stays_with_derivatives_lowered_outside_of_the_block():
    x, kernel = struct(2, 5, 5, 8), struct(1, 1, 8, 4)
    gradient = jax.grad(sine(ops.conv_general_dilated), (0, 1))
    assert "stablehlo.convolution" not in program(gradient, x, kernel)
    with ops.force_lowering("dense"):
        traced = jax.jit(lambda x, kernel: gradient(x, kernel)).trace(x, kernel)
    assert traced.lower().as_text().count("stablehlo.convolution") == 3
    assert "stablehlo.dot_general" in program(gradient, x, kernel)


def test_native_is_lax_itself():
    x, kernel = struct(2, 5, 5, 8), struct(3, 3, 8, 4)
    for forced, is_ours in ((None, True), ("native", False), (None, True)):
        if forced is None:
            jaxpr = jax.make_jaxpr(sine(ops.conv_general_dilated))(x, kernel)
        else:
            with ops.force_lowering(forced):
                jaxpr = jax.make_jaxpr(sine(ops.conv_general_dilated))(x, kernel)
        assert ("zoo_convolution" in str(jaxpr)) == is_ours


def test_a_compiled_function_is_compiled_anew_within_the_block():
    x, kernel = jnp.ones((2, 5, 5, 8)), jnp.ones((3, 3, 8, 4))
    function = jax.jit(jax.jit(sine(ops.conv_general_dilated)))
    for name in (None, "native", "dense", None):
        with nullcontext() if name is None else ops.force_lowering(name):
            function(x, kernel)
            jaxpr = str(jax.make_jaxpr(function)(x, kernel))
        assert ("zoo_convolution" in jaxpr) == (name != "native")
        assert ("forced=dense" in jaxpr) == (name == "dense")
    assert function._cache_size() == 3


def test_forcing_an_unknown_lowering_is_refused():
    with (
        pytest.raises(
            ValueError, match="unknown lowering 'fft'; there are native, depthwise, depthwise_pallas, grouped"
        ),
        ops.force_lowering("fft"),
    ):
        pass


EXTREMES = {
    "patches of a large stride": ((1, 32, 32, 3), (16, 16, 3, 4), {"window_strides": (16, 16), "padding": "VALID"}),
    "a large depthwise kernel": ((1, 6, 6, 16), (31, 31, 1, 16), {"groups": 16}),
    "very many groups": ((2, 5, 5, 66), (3, 3, 2, 66), {"groups": 33}),
}


@pytest.mark.parametrize(("x", "kernel", "options"), EXTREMES.values(), ids=EXTREMES)
def test_extreme_convolutions_are_short_programs_and_right(x, kernel, options, float64):
    random = np.random.default_rng(0)
    operands = [jnp.asarray(random.standard_normal(shape)) for shape in (x, kernel)]
    ours, theirs = (
        jax.value_and_grad(sine(convolution, **options), (0, 1))
        for convolution in (ops.conv_general_dilated, lax.conv_general_dilated)
    )
    assert program(ours, *operands).count("\n") < 300
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-9), ours(*operands), theirs(*operands))


def test_gradients_of_many_single_examples_are_a_short_program():
    def per_example(x, kernel):
        return jax.vmap(lambda x: jax.grad(sine(ops.conv_general_dilated), 1)(x[None], kernel))(x)

    few, many = (program(per_example, struct(n, 8, 8, 16), struct(3, 3, 16, 16)).count("\n") for n in (64, 512))
    assert few == many < 200


@pytest.mark.parametrize(
    ("x", "kernel", "strides", "groups", "lowerings"),
    [
        (struct(1, 224, 224, 3), struct(11, 11, 3, 64), (4, 4), 1, {"dense", "im2col"}),  # AlexNet's stem
        (struct(1, 224, 224, 3), struct(4, 4, 3, 96), (4, 4), 1, {"dense", "im2col"}),  # patches of ConvNeXt
        (struct(1, 32, 32, 64), struct(9, 9, 1, 64), (2, 2), 64, {"depthwise"}),  # MixConv
        (struct(1, 32, 32, 64), struct(7, 7, 1, 64), (1, 1), 64, {"depthwise"}),
        (struct(1, 32, 32, 64), struct(13, 13, 1, 64), (1, 1), 64, {"grouped"}),
        (struct(1, 64, 64, 64), struct(1, 1, 64, 64), (8, 8), 1, {"pointwise"}),
    ],
)
def test_what_real_nets_have_is_within_the_bounds(x, kernel, strides, groups, lowerings):
    options = {"padding": "VALID", "platform": "cpu"}
    choices = [explain(x, kernel, groups, strides, direction=direction, **options) for direction in ANY_DIRECTION]
    assert {choice.lowering for choice in choices} == lowerings
