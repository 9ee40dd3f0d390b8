from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.data import tfds_source
from zoo.data.dataset import DataUnavailableError


def prepare(
    directory: Path,
    shape: tuple[int, int, int] = (6, 6, 3),
    splits: tuple[str, ...] = ("train", "test"),
    label: str = "label",
) -> None:
    """Has TFDS prepare `tiny/1.0.0`: three examples a split, the image of example i filled with i, class i % 2."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> Any:
                features = {
                    "image": tfds.features.Image(shape=shape),
                    label: tfds.features.ClassLabel(names=["cat", "dog"]),
                }
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                return {split: self._generate_examples() for split in splits}

            def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
                for index in range(3):
                    pixels = np.full(shape, index, np.uint8)
                    png = io.BytesIO()
                    Image.fromarray(pixels if shape[2] == 3 else pixels[..., 0]).save(png, "PNG")
                    yield index, {"image": png.getvalue(), label: index % 2}

    Tiny(data_dir=directory, file_format="array_record").download_and_prepare()


@pytest.mark.parametrize("test_split", ["test", "validation"])
def test_load(tmp_path: Path, test_split: str) -> None:
    prepare(tmp_path, splits=("train", test_split))
    dataset = tfds_source.load("tiny", tmp_path)
    assert (dataset.name, dataset.class_names, dataset.image_size) == ("tiny", ("cat", "dog"), 6)
    for split in (dataset.train, dataset.test):
        examples = [split[index] for index in range(len(split))]
        assert sorted(int(example["image"][0, 0, 0]) for example in examples) == [0, 1, 2]
        assert all(example["label"] == example["image"][0, 0, 0] % 2 for example in examples)
        assert all(example["image"].dtype == np.uint8 for example in examples)


def test_default_directory_is_that_of_tfds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    for directory in (None, str(tmp_path)):
        monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
        if directory:
            monkeypatch.setenv("TFDS_DATA_DIR", directory)
        assert str(tfds_source.default_directory()) == tfds.core.constants.get_default_data_dir()


def test_default_directory_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    prepare(tmp_path)
    assert len(tfds_source.load("tiny").train) == 3


def test_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match=r"'mnist' is not prepared in .*mnist/3\.0\.1.*--data\.directory"):
        tfds_source.load("mnist", tmp_path)
    with pytest.raises(DataUnavailableError, match="TFDS knows no data set 'nonesuch'"):
        tfds_source.load("nonesuch", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_prepared_in_another_format(tmp_path: Path) -> None:
    prepare(tmp_path)
    info = tmp_path / "tiny" / "1.0.0" / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataUnavailableError, match="prepared as tfrecord, which cannot be read without TensorFlow"):
        tfds_source.load("tiny", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (6, 4, 3)}, r"must be square and RGB, .* uint8 \(6, 4, 3\)"),
        ({"shape": (6, 6, 1)}, r"must be square and RGB, .* uint8 \(6, 6, 1\)"),
        ({"splits": ("train",)}, "has the splits train; needed are train, and test or validation"),
        ({"splits": ("test",)}, "has the splits test; needed are train"),
        ({"label": "species"}, "has the features image, species; needed are"),
    ],
)
def test_not_labelled_square_rgb_images(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    prepare(tmp_path, **arguments)
    with pytest.raises(ValueError, match=message):
        tfds_source.load("tiny", tmp_path)


@pytest.mark.parametrize(
    ("name", "keep", "named"),
    [
        ("dataset_info.json", 100, r"Failed to load JSON"),
        ("features.json", 100, r""),
        ("tiny-test.array_record-00000-of-00001", 1000, r"tiny-test\.array_record-00000-of-00001: "),
        ("tiny-train.array_record-00000-of-00001", 65536, r"tiny-train\.array_record-00000-of-00001: "),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, name: str, keep: int, named: str) -> None:
    prepare(tmp_path)
    file = tmp_path / "tiny" / "1.0.0" / name
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataUnavailableError, match=rf"The data set in {file.parent} is damaged \({named}") as caught:
        tfds_source.load("tiny", tmp_path)
    assert "\n" not in str(caught.value)
