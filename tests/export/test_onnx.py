from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

import zoo
from tests.quick import output_of, randomise
from zoo import ops
from zoo.export import ExportError, Net
from zoo.preprocessing import Preprocessing

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from zoo.export.onnx import model_of  # noqa: E402

RANDOM = np.random.default_rng(0)
KERNEL, GROUPED, MATRIX = (
    RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 3, 4, 6), (3, 2, 2, 6), (4, 5))
)
NONE = ((0, 0), (0, 0))
BIAS = np.arange(6, dtype=np.float32)
CHANNELS = RANDOM.uniform(0.5, 2, 4).astype(np.float32)
IMAGES = RANDOM.uniform(-1, 1, (3, 6, 5, 4)).astype(np.float32)


def convolution(x, kernel=KERNEL, strides=(1, 1), padding=((1, 1), (1, 1)), **options):
    return ops.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)


def part(x, start, end, axis, stride=1):
    return lax.slice_in_dim(x, start, end, stride, axis)


def rows(x):
    """Whatever it is as (N, values)."""
    return x.reshape(x.shape[0], -1) if x.ndim > 2 else x


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def operators(model):
    return [node.op_type for node in model.graph.node if node.op_type not in ("Identity", "Reshape", "Transpose")]


# JAX's operation, and the operators that it is to become.
CASES = {
    "convolution": (convolution, ["Conv"]),
    "strides, uneven padding": (lambda x: convolution(x, strides=(2, 1), padding=((0, 1), (2, 0))), ["Conv"]),
    "dilation": (lambda x: convolution(x, rhs_dilation=(2, 1)), ["Conv"]),
    "groups": (lambda x: convolution(x, GROUPED, feature_group_count=2), ["Conv"]),
    "bias": (lambda x: convolution(x) + BIAS, ["Conv"]),
    "bias, used twice": (lambda x: (y := convolution(x)) * (y + BIAS), ["Conv", "Add", "Mul"]),
    "not a bias": (lambda x: convolution(x) + np.arange(5, dtype=np.float32)[:, None], ["Conv", "Add"]),
    "a number is no bias": (lambda x: convolution(x, KERNEL[..., :1]) + 2, ["Conv", "Add"]),
    "matrix": (lambda x: jnp.squeeze(part(part(x, 0, 1, 1), 0, 1, 2), (1, 2)) @ MATRIX, ["Slice", "Slice", "Gemm"]),
    "matrix, transposed": (lambda x: jnp.einsum("nc,kc->nk", x.sum((1, 2)), MATRIX.T), None),
    "matrix for each pixel": (lambda x: x @ MATRIX + BIAS[:5], ["Conv"]),
    "linear layer": (lambda x: x.mean((1, 2)) @ MATRIX + np.arange(5.0, dtype=np.float32),
                     ["GlobalAveragePool", "Flatten", "Gemm"]),
    "affine": (lambda x: ops.channel_affine(x, CHANNELS, CHANNELS), ["Mul", "Add"]),
    "affine of channels first": (lambda x: ops.channel_affine(part(convolution(x), 0, 4, 3), CHANNELS, CHANNELS),
                                 ["Conv", "Slice", "Mul", "Add"]),
    "relu": (lambda x: jax.nn.relu(convolution(x)), ["Conv", "Relu"]),
    "relu6": (lambda x: jax.nn.relu6(convolution(x)), ["Conv", "Clip"]),
    "relu, used twice": (lambda x: (y := jax.nn.relu(x)) + jnp.minimum(y, 0.5), ["Relu", "Clip", "Add"]),
    "clipped": (lambda x: jnp.minimum(jnp.maximum(x, -0.5), 0.5), ["Clip"]),
    "clipped above": (lambda x: jnp.minimum(0.5, x), ["Clip"]),
    "the larger": (lambda x: jnp.maximum(x, CHANNELS - 1), ["Max"]),
    "the smaller": (lambda x: jnp.minimum(x, x * x), ["Mul", "Min"]),
    "hard swish": (lambda x: jax.nn.hard_swish(x), ["Add", "Clip", "Div", "Mul"]),
    "swish": (lambda x: jax.nn.silu(x), ["Sigmoid", "Mul"]),
    "arithmetic": (lambda x: -abs(x) - x / CHANNELS, ["Abs", "Neg", "Div", "Sub"]),
    "functions": (lambda x: jnp.tanh(jnp.log(jnp.sqrt(jnp.exp(lax.erf(x))))), ["Erf", "Exp", "Sqrt", "Log", "Tanh"]),
    "sum over pixels": (lambda x: x.sum((1, 2)), ["GlobalAveragePool", "Flatten", "Mul"]),
    "mean over pixels": (lambda x: x.mean((1, 2)), ["GlobalAveragePool", "Flatten"]),
    "mean over rows": (lambda x: convolution(x).mean(1), ["Conv", "ReduceSum", "Div"]),
    "squeeze and excite": (
        lambda x: x * jax.nn.sigmoid(convolution(x.mean((1, 2), keepdims=True), KERNEL[:1, :1, :, :4], padding=NONE)),
        ["GlobalAveragePool", "Flatten", "Conv", "Sigmoid", "Mul"]),
    "largest of a window": (lambda x: nnx.max_pool(x, (3, 2), (2, 1), ((1, 1), (0, 1))), ["MaxPool"]),
    "mean of a window": (lambda x: nnx.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), ["AveragePool"]),
    "mean of what there is in a window": (
        lambda x: nnx.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False), ["AveragePool", "Mul", "Div"]),
    "sum of a window": (lambda x: 2 * lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 1, 1, 1), "VALID"),
                        ["AveragePool", "Mul"]),
    "channel shuffle": (lambda x: ops.channel_shuffle(convolution(x), 2), ["Conv"]),
    "transposition of all": (lambda x: jnp.swapaxes(convolution(x), 1, 3), ["Conv"]),
    "concatenation": (lambda x: jnp.concatenate([convolution(x), x], -1), ["Conv", "Concat"]),
    "concatenation of rows": (lambda x: jnp.concatenate([convolution(x), BIAS * convolution(x)], 1),
                              ["Conv", "Conv", "Mul", "Concat"]),
    "split": (lambda x: jnp.concatenate(jnp.split(convolution(x), [2], -1)[::-1], -1), ["Conv", "Split", "Concat"]),
    "slice": (lambda x: part(part(convolution(x), 1, 5, 1, 2), 1, 3, 3), ["Conv", "Slice", "Slice"]),
    "squeeze": (lambda x: jnp.squeeze(x.mean((1, 2), keepdims=True), (1, 2)), ["GlobalAveragePool", "Flatten"]),
    "repetition of rows": (lambda x: jnp.broadcast_to(part(x, 0, 1, 1), x.shape) * 2, None),
    "repetition of a pooled map": (
        lambda x: ops.resize_bilinear(convolution(x).mean((1, 2), keepdims=True), (3, 2)),
        ["Conv", "GlobalAveragePool", "Flatten", "Expand"]),
    "repetition of vectors": (lambda x: jnp.broadcast_to(x.mean((1, 2))[:, None], (*x.shape[:1], 3, 4)), None),
    "interpolation": (lambda x: ops.resize_bilinear(convolution(x), (7, 12)), ["Conv", "Einsum", "Einsum"]),
    "interpolation of points": (lambda x: ops.enlarge_bilinear(x, 4, (21, 19)), None),
    "product with rows": (lambda x: jnp.einsum("nhwc,hk->nkwc", x, GROUPED[0, 0, :1].T @ KERNEL[0, :1, 0]), None),
    "padding": (lambda x: jnp.pad(convolution(x), ((0, 0), (1, 0), (2, 3), (0, 1))), ["Conv", "Pad"]),
    "padding with ones": (lambda x: jnp.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1)), constant_values=1), ["Pad"]),
    "flattened": (lambda x: convolution(x).reshape(x.shape[0], 180) , ["Conv"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operation_gives_what_it_gives_in_jax(case):
    function, expected = CASES[case]
    model = model_of(lambda x: rows(function(x)), IMAGES.shape[1:])
    if expected is not None:
        assert operators(model) == expected
    for images in (IMAGES, IMAGES[:1]):
        result = np.asarray(rows(function(images)))
        np.testing.assert_allclose(run(model, images), result, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: jnp.cumsum(x, 1), "no operator for JAX's primitive cumsum"),
        (lambda x: convolution(x, lhs_dilation=(2, 2)), "conv_general_dilated with a dilated input"),
        (lambda x: convolution(x, padding=((-1, 0), (0, 0))), "conv_general_dilated with padding"),
        (lambda x: lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0)]), "does not know pad with"),
        (lambda x: x[:, 0], "no operator for JAX's primitive gather"),
        (lambda x: x.sum((1, 2)) @ x.sum((1, 2)).T, "dot_general with two factors that depend on the images"),
        (lambda x: jnp.ones((2, 3)), "the logits do not depend on the images"),
    ],
)
def test_what_it_does_not_know_is_named(function, message):
    with pytest.raises(ExportError, match=message):
        model_of(lambda x: rows(function(x)), IMAGES.shape[1:])


NETS = {
    "mobilenet_v2": {"width": 0.35, "small_images": True},
    "mobilenet_v3_small": {"small_images": True},
    "shufflenet_v1_x0_25_g3": {"small_images": True},
    "shufflenet_v2_x0_5": {"small_images": True},
    "nin": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_net_gives_its_logits_for_any_number_of_images(name):
    model = zoo.create_model(name, num_classes=7, **NETS[name])
    randomise(model)
    model.eval()
    images = np.random.default_rng(1).standard_normal((3, 32, 32, 3)).astype(np.float32)
    exported = model_of(Net(model, Preprocessing(32, 32)).infer, (32, 32, 3))
    logits = np.asarray(output_of(model, images))
    for number in (3, 1):
        np.testing.assert_allclose(run(exported, images[:number]), logits[:number], rtol=0, atol=2e-5 * logits.std())
    inside = [node for node in exported.graph.node if node.op_type == "Transpose" and len(node.attribute[0].ints) == 4]
    assert [list(node.input) for node in inside] == [["images"]]
    assert not {"Max", "Min", "BatchNormalization"} & set(operators(exported))
