from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.data.dataset import ArraySplit, Dataset
from zoo.ops.lowering.measured import device_of
from zoo.training import experiment
from zoo.training.config import AugmentConfig, DataConfig, ModelConfig, TrainConfig
from zoo.training.experiment import build


@pytest.fixture
def build_with(monkeypatch):
    """A function that builds a config on eight black images of some size, of three classes."""

    def run(size: int = 32, epochs: int = 1, batch_size: int = 4, devices: int = 1, **model):
        split = ArraySplit(np.zeros((8, size, size, 3), np.uint8), np.arange(8, dtype=np.int32) % 3)
        dataset = Dataset("black", ("a", "b", "c"), size, split, split, (0.5,) * 3, (0.25,) * 3)
        monkeypatch.setattr(experiment, "load", lambda *_, **__: dataset)
        return build(
            TrainConfig(
                model=ModelConfig(**model), epochs=epochs, batch_size=batch_size, eval_batch_size=4, devices=devices
            )
        )

    return run


def test_what_was_left_open_is_resolved(build_with):
    built = build_with(name="mobilenet_v2_x0_5", epochs=3)
    assert built.config.name == "mobilenet_v2_x0_5_shapes"
    assert built.config.model == ModelConfig(
        name="mobilenet_v2_x0_5", width=0.5, dropout=0.2, drop_path=0.0, small_images=True, num_classes=3
    )
    assert built.total_steps == 6
    assert build_with(name="flattened_net").config.model.width is None


@pytest.mark.parametrize(("size", "is_small"), [(32, True), (64, True), (65, False), (224, False)])
def test_the_form_for_small_images_is_taken_up_to_64_pixels(build_with, size, is_small):
    built = build_with(size, name="shufflenet_v2_x0_5")
    assert built.config.model.small_images is is_small
    assert ("its form for small images" if is_small else "its ImageNet form") in built.describe()[0]


def test_the_form_can_be_chosen(build_with):
    assert build_with(name="shufflenet_v2_x0_5", small_images=False).config.model.small_images is False
    with pytest.raises(ValueError, match="has no option 'small_images'"):
        build_with(name="resnext29_2x64d", small_images=True)


def test_a_model_may_tell_more_classes_apart_than_the_data_has(build_with):
    built = build_with(name="mobilenet_v1", width=0.25, num_classes=5)
    assert built.trainer.task.num_classes == 5
    assert built.weights_description["class_names"] == ["a", "b", "c", "class 3", "class 4"]
    assert any("5 classes apart, more than the data has" in line for line in built.describe())
    with pytest.raises(ValueError, match=r"model\.num_classes=2 is less than the 3 classes of black"):
        build_with(num_classes=2)


def test_fine_tuning_normalises_pixels_as_the_weights_were_trained_with(build_with, tmp_path):
    model = zoo.create_model("mobilenet_v1", width=0.25, num_classes=7, small_images=True)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    description = {"model": "mobilenet_v1", "options": {"width": 0.25, "num_classes": 7, "small_images": True}}
    usual = {"class_names": list("abcdefg"), "image_size": 32, "mean": mean, "std": std}
    zoo.save_weights(model, tmp_path / "known.safetensors", description | usual)
    zoo.save_weights(model, tmp_path / "unknown.safetensors")

    with pytest.warns(UserWarning, match="another number of classes"):
        built = build_with(name="mobilenet_v1", weights=str(tmp_path / "known.safetensors"))
    assert built.config.model.width == 0.25
    assert (built.trainer.task.mean, built.trainer.task.std) == (mean, std)
    assert built.weights_description["mean"] == mean
    assert built.describe()[-1].endswith("pixels are normalised as the weights were trained with")

    with pytest.warns(UserWarning, match="another number of classes"):
        built = build_with(name="mobilenet_v1", width=0.25, weights=str(tmp_path / "unknown.safetensors"))
    assert built.trainer.task.mean == (0.5,) * 3
    assert built.describe()[-1].endswith("pixels are normalised as is usual for the data")


def test_what_cannot_be_trained_is_found_here(build_with):
    with pytest.raises(ValueError, match="batch_size=9 is more than the 8 training examples"):
        build_with(batch_size=9)
    with pytest.raises(
        ValueError, match=r"alexnet_grouped cannot train on images of 16x16 pixels: the last map, .*no pixels"
    ):
        build_with(16, name="alexnet_grouped", small_images=False)


def test_the_epochs_of_the_schedule_are_those_of_the_config(build_with):
    built = build_with(name="mobilenet_v1", width=0.25, epochs=5)
    assert float(built.schedule(built.total_steps)) == pytest.approx(0, abs=1e-8)
    assert float(built.schedule(built.total_steps // 5)) == pytest.approx(built.config.optimizer.learning_rate)
    assert replace(built.config, data=DataConfig()) == built.config


def test_the_devices_are_described_and_must_divide_the_batch(build_with, monkeypatch):
    model = {"name": "mobilenet_v1", "width": 0.25}
    assert f"on 1 device ({device_of('cpu')})" in build_with(**model).describe()
    built = build_with(batch_size=8, devices=4, **model)
    share = "2 of the 8 examples of a step on each; the training images, 0 MB, are on every device"
    assert f"on 4 devices ({device_of('cpu')}), {share}" in built.describe()
    monkeypatch.setattr("zoo.training.feed._REPLICATED_SHARE", 2**60)
    assert any("the training images are split, 0 MB on each device" in line for line in built.describe())
    with pytest.raises(ValueError, match="batch_size=6 cannot be split over 4 devices; 4 or 8 can"):
        build_with(batch_size=6, devices=4, **model)


def test_pictures_are_tested_on_as_the_start_weights_want_them(tmp_path):
    for part, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        (tmp_path / part / name).mkdir(parents=True)
        Image.new("RGB", (40, 50)).save(tmp_path / part / name / "0.png")
    model = zoo.create_model("mobilenet_v1", width=0.25, num_classes=2, small_images=True)
    description = {
        "model": "mobilenet_v1", "options": {"width": 0.25, "num_classes": 2, "small_images": True},
        "image_size": 28, "resize_size": 35, "interpolation": "bicubic", "mean": (0.1,) * 3, "std": (0.2,) * 3,
    }  # fmt: skip
    zoo.save_weights(model, tmp_path / "start.safetensors", description)
    built = build(
        TrainConfig(
            model=ModelConfig("mobilenet_v1", weights=str(tmp_path / "start.safetensors")),
            data=DataConfig("image_folder", tmp_path),
            augment=AugmentConfig(random_resized_crop=0.35),
            batch_size=2,
            devices=1,
        )
    )
    lines = built.describe()
    assert "training pictures are read at 37x37 pixels, out of which random crops are taken" in lines
    assert lines[-1].endswith("and test pictures resized to 40 pixels (bicubic) and cropped to 32")
    written = {key: built.weights_description[key] for key in ("image_size", "resize_size", "interpolation")}
    assert written == {"image_size": 32, "resize_size": 40, "interpolation": "bicubic"}


def test_the_fields_on_data_and_the_seed_are_handed_on(monkeypatch, tmp_path):
    class LoadedError(Exception):
        pass

    def load(name, directory, **options):
        assert (name, directory) == ("image_folder", tmp_path)
        assert options == {
            "image_size": 48, "train_examples": 9, "test_examples": 8, "test_share": 0.3, "skip_unreadable": True,
            "random_crops": False, "preprocessing": None, "seed": 7,
        }  # fmt: skip
        raise LoadedError

    monkeypatch.setattr(experiment, "load", load)
    data = DataConfig("image_folder", tmp_path, 48, 9, 8, 0.3, True)
    with pytest.raises(LoadedError):
        build(TrainConfig(data=data, seed=7, devices=1))
