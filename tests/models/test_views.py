from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import Conv
from zoo.ops import resize_bilinear

RANDOM = np.random.default_rng(0)


class OneConvolution(zoo.Segmenter):
    """A net whose receptive field is its kernel, and which knows nothing of a body."""

    def __init__(self, kernel_size: int = 3, num_classes: int = 3) -> None:
        self.classify = Conv(2, num_classes, kernel_size, use_bias=True, rngs=nnx.Rngs(0))
        self.classify.kernel[...] = RANDOM.standard_normal(self.classify.kernel.shape, np.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.classify(x)

    def layers_of_classes(self) -> tuple[str, ...]:
        return ("classify",)


def images(*size: int) -> jax.Array:
    return jnp.asarray(RANDOM.standard_normal((2, *size, 2), np.float32))


def averaged(net: zoo.Segmenter, x: jax.Array, **options: object) -> np.ndarray:
    """The mean probabilities, whose classes add up to 1."""
    logs = zoo.AveragedViews(net, **options)(x)
    assert (logs.shape, logs.dtype) == ((*x.shape[:3], 3), jnp.float32)
    np.testing.assert_allclose(np.exp(logs).sum(-1), 1, rtol=1e-5)
    return np.exp(logs)


def test_a_single_view_is_what_the_net_gives() -> None:
    net, x = OneConvolution(), images(5, 7)
    np.testing.assert_allclose(zoo.AveragedViews(net)(x), jax.nn.log_softmax(net(x)), rtol=1e-5, atol=1e-6)


def test_improbable_classes_keep_a_finite_logarithm() -> None:
    net = OneConvolution()
    net.classify.bias[...] = jnp.array([0.0, 300, -300])
    assert np.isfinite(zoo.AveragedViews(net)(images(3, 3))).all()


def test_the_mirror_image_is_turned_back() -> None:
    net, x = OneConvolution(), images(5, 7)
    mirrored = jax.nn.softmax(net(x[:, :, ::-1]))[:, :, ::-1]
    expected = (jax.nn.softmax(net(x)) + mirrored) / 2
    np.testing.assert_allclose(averaged(net, x, flip=True), expected, rtol=1e-5)
    assert np.abs(expected - mirrored).max() > 0.1


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 3)])
def test_each_scale_counts_alike(size: tuple[int, int]) -> None:
    net, x = OneConvolution(), images(*size)
    height, width = size
    scaled = [(max(1, round(scale * height)), round(scale * width)) for scale in (0.5, 1, 1.5)]
    expected = np.mean([resize_bilinear(jax.nn.softmax(net(resize_bilinear(x, to))), size) for to in scaled], axis=0)
    result = averaged(net, x, scales=(0.5, 1.0, 1.5))
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert np.abs(result - averaged(net, x)).max() > 0.1


@pytest.mark.parametrize("window", [1, 2, 4, 6, 8, 100])
@pytest.mark.parametrize("flip", [False, True])
def test_windows_change_nothing_for_a_net_that_sees_single_pixels(window: int, flip: bool) -> None:
    net, x = OneConvolution(kernel_size=1), images(7, 11)
    np.testing.assert_allclose(averaged(net, x, window=window, flip=flip), averaged(net, x), rtol=1e-5)


def test_a_pixel_has_the_mean_of_the_windows_that_see_it() -> None:
    net, x = OneConvolution(), images(3, 8)
    # Windows of 6 of the 8 columns, 4 apart but for the last one, which ends at the border: from 0 and from 2.
    first, last = (jax.nn.softmax(net(x[:, :, start : start + 6])) for start in (0, 2))
    sums = np.zeros((2, 3, 8, 3), np.float32)
    sums[:, :, :6] += first
    sums[:, :, 2:] += last
    sums[:, :, 2:6] /= 2
    np.testing.assert_allclose(averaged(net, x, window=6), sums, rtol=1e-5)


def test_windows_are_of_the_image_at_its_scale() -> None:
    net, x = OneConvolution(), images(4, 4)
    np.testing.assert_allclose(averaged(net, x, scales=(0.5,), window=2), averaged(net, x, scales=(0.5,)), rtol=1e-5)
    assert np.abs(averaged(net, x, scales=(2.0,), window=4) - averaged(net, x, scales=(2.0,))).max() > 0.01


def test_nets_of_the_registry_take_odd_sizes() -> None:
    net = zoo.create_model("lraspp_mobilenet_v3_large", width=0.25, num_classes=3, small_images=True)
    net.eval()
    views = zoo.AveragedViews(net, scales=(0.5, 1.25), flip=True, window=48)
    logs = nnx.eval_shape(lambda views, x: views(x), views, jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32))
    assert (logs.shape, logs.dtype) == ((2, 65, 97, 3), jnp.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, r"scales must be one or more numbers above 0, not \(\)"),
        ({"scales": (1.0, 0.0)}, r"scales must be one or more numbers above 0, not \(1\.0, 0\.0\)"),
        ({"scales": (-0.5,)}, r"above 0, not \(-0\.5,\)"),
        ({"scales": (float("nan"),)}, r"above 0, not \(nan,\)"),
        ({"window": 0}, "window must be at least 1 pixel, not 0"),
    ],
)
def test_what_makes_no_view_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.AveragedViews(OneConvolution(), **options)


def test_classifiers_have_no_pixels_to_average() -> None:
    with pytest.raises(ValueError, match="not of a MobileNetV1"):
        zoo.AveragedViews(nnx.eval_shape(lambda: zoo.create_model("mobilenet_v1", width=0.25)))
