from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.preprocessing import Preprocessing

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_is_only_normalised():
    image = picture(8, 8)
    how = Preprocessing(8, 8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    expected = (image / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 2.0]
    result = zoo.preprocess([image], how)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0], expected, rtol=1e-5, atol=1e-6)


def test_the_crop_is_from_the_middle_of_the_shorter_side():
    image = picture(10, 20)
    result = zoo.preprocess([image], Preprocessing(6, 10, **PLAIN))
    np.testing.assert_allclose(result[0], image[2:8, 7:13] / np.float32(255))


def test_pictures_of_several_sizes_and_kinds_make_one_batch():
    images = [picture(40, 30), Image.new("L", (64, 64), 255), Image.new("RGBA", (20, 90))]
    result = zoo.preprocess(images, zoo.model_info("mobilenet_v2"))
    assert result.shape == (3, 224, 224, 3)
    white = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(result[1, 100, 100], white, rtol=1e-5)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match=r"an image of float64 \(8, 8, 3\) must be uint8 \(H, W, 3\) or \(H, W\)"):
        zoo.preprocess([np.zeros((8, 8, 3))], Preprocessing(8, 8))
    with pytest.raises(ValueError, match=r"an image of uint8 \(2, 8, 8, 3\)"):
        zoo.preprocess([np.zeros((2, 8, 8, 3), np.uint8)], Preprocessing(8, 8))
    with pytest.raises(ValueError, match="there are no images"):
        zoo.preprocess([], Preprocessing(8, 8))


def test_one_array_of_pictures_is_taken_apart():
    batch = np.stack([picture(8, 8, seed) for seed in range(3)])
    how = Preprocessing(8, 8)
    np.testing.assert_array_equal(zoo.preprocess(batch, how), zoo.preprocess(list(batch), how))


@pytest.mark.parametrize("one", [picture(8, 8), picture(8, 8)[..., 0], Image.new("RGB", (8, 8)), "a.png"])
def test_one_picture_is_not_taken_apart(one):
    with pytest.raises(ValueError, match=r"one .* is not several pictures; give a list of pictures, \[image\]"):
        zoo.preprocess(one, Preprocessing(8, 8))


def test_a_very_long_picture_is_not_resized_whole():
    line = np.zeros((1, 60_000, 3), np.uint8)
    line[:, 29_990:30_010] = 255
    how = Preprocessing(224, 256, **PLAIN)  # The whole line would become 256 x 15 million pixels, of 12 GB.
    for image in (line, line.swapaxes(0, 1)):
        assert (zoo.preprocess([image], how) == 1).all()


def test_a_net_has_the_usual_preprocessing_of_its_data():
    assert zoo.model_info("mobilenet_v2").preprocessing == Preprocessing(224, 256)
    assert zoo.model_info("inception_v3").preprocessing == Preprocessing(299, 342)
    assert zoo.model_info("resnext29_8x64d").preprocessing.resize_size == 32


@pytest.mark.parametrize(("resize_size", "input_size", "interpolation"), [(232, 224, "bilinear"), (70, 64, "bicubic")])
def test_it_agrees_with_torchvision(resize_size, input_size, interpolation):
    pytest.importorskip("torchvision")
    from torchvision.transforms._presets import ImageClassification
    from torchvision.transforms.functional import InterpolationMode

    theirs = ImageClassification(
        crop_size=input_size, resize_size=resize_size, interpolation=InterpolationMode(interpolation)
    )
    how = Preprocessing(input_size, resize_size, interpolation)
    for height, width in ((100, 133), (301, 250), (64, 64), (57, 233)):
        image = Image.fromarray(picture(height, width))
        expected = theirs(image).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(zoo.preprocess([image], how)[0], expected, atol=1e-5)
