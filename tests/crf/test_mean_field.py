"""The fully connected CRF: known answers, a dense reference, other people's code, gradients, and bounded memory."""

from __future__ import annotations

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.crf import CRFParameters, kernels, mean_field

NARROW = CRFParameters(position_deviation=5.0, colour_deviation=40.0, smoothness_deviation=1.5)


def an_example(
    height: int, width: int, classes: int, seed: int = 0, noise: float = 12.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits with noise, and an image of a few flat regions with noise."""
    rng = np.random.default_rng(seed)
    regions = rng.integers(classes, size=(-(-height // 6), -(-width // 6))).repeat(6, 0).repeat(6, 1)[:height, :width]
    colours = rng.integers(40, 216, (classes, 3))
    image = np.clip(colours[regions] + rng.normal(0, noise, (height, width, 3)), 0, 255).astype(np.uint8)
    logits = 1.5 * np.eye(classes)[regions] + rng.normal(size=(height, width, classes))
    return logits, image


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def dense(logits: np.ndarray, image: np.ndarray, parameters: CRFParameters) -> np.ndarray:
    """The same with both kernels as whole matrices in float64, and the pairwise terms written out as in the paper."""
    height, width, classes = logits.shape
    positions = np.stack(np.indices((height, width)), -1).reshape(-1, 2).astype(float)
    colours = image.reshape(-1, 3).astype(float)
    offsets = positions[:, None] - positions
    distances = np.square(offsets).sum(-1)
    differences = np.square(colours[:, None] - colours).sum(-1)
    appearance = distances / parameters.position_deviation**2 + differences / parameters.colour_deviation**2
    appearance = np.exp(-appearance / 2)
    if parameters.window is not None:
        appearance *= np.abs(offsets).max(-1) <= parameters.window // 2
    smoothness = np.exp(-distances / parameters.smoothness_deviation**2 / 2)
    kernel = 0
    for weight, each in ((parameters.appearance_weight, appearance), (parameters.smoothness_weight, smoothness)):
        scale = each.sum(1) ** -0.5
        kernel = kernel + weight * scale[:, None] * each * scale
    compatibility = parameters.compatibility
    compatibility = 1 - np.eye(classes) if compatibility is None else np.asarray(compatibility)
    unary = -np.log(softmax(logits.reshape(-1, classes)))
    probabilities = softmax(-unary)
    for _ in range(parameters.iterations):
        probabilities = softmax(-unary - kernel @ probabilities @ compatibility.T)
    return probabilities.reshape(logits.shape)


ASYMMETRIC = np.array([[0, 1, 2, 0.5], [1, 0, 3, 1], [0.2, 1, 0, 1], [1, 2, 1, 0]])


@pytest.mark.parametrize(
    "parameters",
    [
        NARROW,
        CRFParameters(),
        replace(NARROW, iterations=0),
        replace(NARROW, smoothness_weight=0.0),
        replace(NARROW, appearance_weight=0.0),
        replace(NARROW, window=7),
        replace(NARROW, window=1),
        replace(NARROW, window=35),
        replace(NARROW, compatibility=ASYMMETRIC),
    ],
)
def test_agrees_with_dense_matrices(parameters: CRFParameters, float64: None) -> None:
    logits, image = an_example(13, 18, 4)
    ours = mean_field(logits, image, parameters)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, dense(logits, image, parameters), rtol=0, atol=1e-6)


@pytest.mark.parametrize("block_entries", [1, 1000, 13 * 18 * 100])
def test_blocks_of_any_size_give_the_same(block_entries: int, monkeypatch: pytest.MonkeyPatch, float64: None) -> None:
    logits, image = an_example(13, 18, 4)
    monkeypatch.setattr(kernels, "_BLOCK_ENTRIES", block_entries)
    jax.clear_caches()
    ours = mean_field(logits, image, NARROW)
    jax.clear_caches()
    np.testing.assert_allclose(ours, dense(logits, image, NARROW), rtol=0, atol=1e-6)


def test_two_pixels_by_hand(float64: None) -> None:
    # The colours differ by 8 in one channel, the positions by 1; with deviations 4, 1 and 1 the appearance kernel is
    # a = exp(-(1/1 + 64/16)/2) = exp(-2.5), the smoothness kernel s = exp(-1/2). Rows add up to 1 + a and 1 + s.
    # Unary probabilities are 3/4 and 1/4 in the first pixel, 1/2 and 1/2 in the second, whose messages therefore
    # change nothing between two classes but by its own share.
    parameters = CRFParameters(2.0, 1.0, 4.0, 1.0, 1.0, iterations=1)
    logits = np.log([[[3.0, 1.0], [1.0, 1.0]]])
    image = np.array([[[100, 50, 7], [108, 50, 7]]], np.uint8)
    a, s = np.exp(-2.5), np.exp(-0.5)
    to_itself, to_other = 2 / (1 + a) + 1 / (1 + s), 2 * a / (1 + a) + s / (1 + s)
    # What the first pixel's class 0 has over its class 1 in messages: (3/4 - 1/4) times the kernel.
    first = 1 / (1 + np.exp(-np.log(3) - 0.5 * to_itself))
    second = 1 / (1 + np.exp(-0.5 * to_other))
    expected = [[[first, 1 - first], [second, 1 - second]]]
    np.testing.assert_allclose(mean_field(logits, image, parameters), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [None, 7])
def test_float32_is_close(window: int | None) -> None:
    logits, image = an_example(24, 20, 5)
    parameters = replace(NARROW, window=window)
    ours = mean_field(logits.astype(np.float32), image, parameters)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, dense(logits, image, parameters), rtol=0, atol=1e-5)


def test_bfloat16_logits_are_computed_with_in_float32() -> None:
    logits, image = an_example(6, 8, 3)
    coarse = jnp.asarray(logits, jnp.bfloat16)
    ours = mean_field(coarse, image, NARROW)
    np.testing.assert_array_equal(ours, mean_field(coarse.astype(jnp.float32), image, NARROW))


def test_it_mends_labels_along_edges() -> None:
    image = np.full((24, 24, 3), 60, np.uint8)
    image[:, 13:] = 180
    truth = (image[..., 0] > 100).astype(int)
    rng = np.random.default_rng(0)
    logits = (2 * np.eye(2)[truth] + rng.normal(0, 1.5, (24, 24, 2))).astype(np.float32)
    assert np.mean(logits.argmax(-1) == truth) < 0.9
    for window in (None, 11):
        refined = mean_field(logits, image, CRFParameters(window=window))
        np.testing.assert_array_equal(refined.argmax(-1), truth)


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 5])
def test_gradients_are_those_of_finite_differences(window: int | None, float64: None) -> None:
    logits, image = an_example(5, 6, 3)
    target = np.random.default_rng(1).random(logits.shape)
    compatibility = jnp.asarray(ASYMMETRIC[:3, :3])
    parameters = CRFParameters(1.0, 5.0, 90.0, 0.5, 1.5, compatibility, 3, window)  # far from certain of any class

    def loss(logits: jax.Array, parameters: CRFParameters) -> jax.Array:
        return jnp.sum(target * mean_field(logits, image, parameters))

    gradients = jax.grad(loss, (0, 1))(logits, parameters)
    step = 1e-5
    places = [(0, 0, 0), (2, 3, 1), (4, 5, 2)]
    for place in places:
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        slope = (loss(up, parameters) - loss(down, parameters)) / (2 * step)
        np.testing.assert_allclose(gradients[0][place], slope, rtol=1e-5, atol=1e-9)
    for name in [field.name for field in fields(CRFParameters) if not field.metadata.get("static")]:
        value = getattr(parameters, name)
        up, down = (replace(parameters, **{name: value * (1 + change)}) for change in (step, -step))
        slope = (loss(logits, up) - loss(logits, down)) / (2 * step)
        assert abs(slope) > 1e-4
        np.testing.assert_allclose(jnp.sum(value * getattr(gradients[1], name)), slope, rtol=1e-5, atol=1e-9)


def test_batches_by_vmap() -> None:
    examples = [an_example(7, 9, 3, seed) for seed in range(2)]
    logits, images = (np.stack(arrays) for arrays in zip(*examples, strict=True))
    together = jax.vmap(mean_field, (0, 0, None))(logits, images, NARROW)
    apart = [mean_field(*example, NARROW) for example in zip(logits, images, strict=True)]
    np.testing.assert_allclose(together, jnp.stack(apart), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 11])
def test_memory_grows_with_the_number_of_pixels(window: int | None) -> None:
    # 96×96 pixels: all pairs would be 340 MB of float32.
    logits, image = jnp.zeros((96, 96, 5)), jnp.zeros((96, 96, 3), jnp.uint8)
    parameters = CRFParameters(window=window)
    gradient = jax.jit(jax.grad(lambda logits: mean_field(logits, image, parameters)[..., 0].sum()))
    for program in (mean_field.lower(logits, image, parameters), gradient.lower(logits)):
        assert program.compile().memory_analysis().temp_size_in_bytes < 100e6


def test_agrees_with_the_permutohedral_lattice() -> None:
    # The published code interpolates on a lattice, closely only where the noise is below the deviation of colours: at a
    # noise of 12 it has 1.8 % other labels than the matrices above, of which it is an approximation.
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    logits, image = an_example(48, 64, 11, noise=3.0)
    crf = densecrf.DenseCRF2D(64, 48, 11)
    unary = -np.log(softmax(logits)).transpose(2, 0, 1).reshape(11, -1)
    crf.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=49, srgb=5, rgbim=np.ascontiguousarray(image), compat=4)
    theirs = np.asarray(crf.inference(10)).reshape(11, 48, 64).transpose(1, 2, 0)
    ours = np.asarray(mean_field(logits.astype(np.float32), image))
    assert np.mean(ours.argmax(-1) == theirs.argmax(-1)) > 0.995
    assert np.abs(ours - theirs).mean() < 0.002
    assert np.mean(ours.argmax(-1) == logits.argmax(-1)) < 0.9


def test_shapes_and_dtypes_are_checked() -> None:
    logits, image = np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match=r"logits must be floating \(H, W, classes\), not int32 \(4, 5, 3\)"):
        mean_field(logits.astype(np.int32), image)
    with pytest.raises(ValueError, match=r"logits must be .* not float32 \(1, 4, 5, 3\)"):
        mean_field(logits[None], image)
    with pytest.raises(ValueError, match=r"image must be uint8 \(4, 5, 3\), not float32 \(4, 5, 3\)"):
        mean_field(logits, logits)
    with pytest.raises(ValueError, match=r"image must be uint8 \(4, 5, 3\), not uint8 \(5, 4, 3\)"):
        mean_field(logits, image.swapaxes(0, 1))
    with pytest.raises(ValueError, match=r"compatibility must have the shape \(3, 3\), not \(2, 2\)"):
        mean_field(logits, image, CRFParameters(compatibility=np.eye(2)))
