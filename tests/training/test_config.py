from __future__ import annotations

import ast
import inspect
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from zoo.ops import LoweringName
from zoo.training import config as config_module
from zoo.training.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    differences,
    flatten,
    from_dict,
    to_dict,
)

NAN, INF = float("nan"), float("inf")

FULL = TrainConfig(
    name="everything-else",
    model=ModelConfig(
        "resnet", 0.5, 0.1, 0.2, False, 7, "bfloat16", "start.safetensors", {"output_stride": 8, "rates": (1, 2)}
    ),
    data=DataConfig("image_folder", Path("photos"), 96, 100, 50, 0.2, True, 2),
    augment=AugmentConfig(2, False, 8, 0.2, 1.0, 0.35, True, 0.4, 0.25, (0.5, 2.0)),
    optimizer=OptimizerConfig(
        "adamw",
        1e-3,
        "step",
        0.25,
        (0.3, 0.6),
        0.2,
        1.0,
        0.8,
        0.05,
        1.0,
        ("stem", "stages.0.*"),
        {"head": 0.3},
        0.1,
        True,
    ),
    epochs=20,
    batch_size=64,
    eval_batch_size=100,
    label_smoothing=0.1,
    auxiliary_loss=0.3,
    balance="loss",
    ema_decay=0.999,
    seed=3,
    devices=(0, 2),
    batch_norm="per-device",
    gradient_accumulation=2,
    remat="blocks",
    lowering="native",
    checkpoint_every=5,
    output=Path("runs/here"),
    compilation_cache=False,
)


@pytest.mark.parametrize(
    ("section", "field", "values"),
    [
        (ModelConfig, "model.width", [0, -1.0, NAN, INF, "1"]),
        (ModelConfig, "model.dropout", [-0.1, 1.0, NAN]),
        (ModelConfig, "model.drop_path", [-0.1, 1.0, NAN]),
        (ModelConfig, "model.num_classes", [1, 0, -5, 10.0, True]),
        (ModelConfig, "model.dtype", ["float16", None, 32]),
        (ModelConfig, "model.small_images", [1, "yes"]),
        (ModelConfig, "model.weights", [Path("file.safetensors"), 3]),
        (ModelConfig, "model.options", [{"width": 0.5}, {"act": abs}, {3: 4}, "act"]),
        (AugmentConfig, "augment.random_scale", [(0.5,), (2.0, 0.5), (0, 1), 0.5]),
        (TrainConfig, "auxiliary_loss", [-0.1, NAN, "0.5"]),
        (TrainConfig, "lowering", ["fastest", 1]),
        (TrainConfig, "devices", [0, (), 1.5, ("cpu",), "all"]),
        (TrainConfig, "batch_norm", ["local", None]),
        (TrainConfig, "remat", ["all", None]),
        (TrainConfig, "gradient_accumulation", [0, None, 2.0]),
        (ModelConfig, "model.name", [None, 3]),
        (DataConfig, "data.name", ["cifar", "tfds", "tfds/", ""]),
        (DataConfig, "data.directory", ["photos"]),
        (DataConfig, "data.image_size", [0, -1, 32.0]),
        (DataConfig, "data.train_examples", [0, -1]),
        (DataConfig, "data.test_examples", [0, -1]),
        (DataConfig, "data.test_share", [-0.1, 1, NAN, 0.2]),  # 0.2 is possible, but not of shapes
        (DataConfig, "data.skip_unreadable", ["yes", True]),
        (DataConfig, "data.workers", [-1, None]),
        (AugmentConfig, "augment.crop_padding", [-1, 1.5]),
        (AugmentConfig, "augment.cutout", [-1, 1.5]),
        (AugmentConfig, "augment.mixup", [-0.1, NAN]),
        (AugmentConfig, "augment.cutmix", [-0.1, INF]),
        (AugmentConfig, "augment.random_resized_crop", [-0.1, 1.1, NAN, True]),
        (AugmentConfig, "augment.trivial_augment", [1, "wide", None]),
        (AugmentConfig, "augment.color_jitter", [-0.1, NAN]),
        (AugmentConfig, "augment.random_erasing", [-0.1, 1.1]),
        (OptimizerConfig, "optimizer.name", ["adagrad"]),
        (OptimizerConfig, "optimizer.learning_rate", [0, -0.1, NAN, INF, "0.1", True]),
        (OptimizerConfig, "optimizer.schedule", ["linear", None]),
        (OptimizerConfig, "optimizer.decay_factor", [0, 1, NAN]),
        (OptimizerConfig, "optimizer.power", [0, -1.0]),
        (OptimizerConfig, "optimizer.freeze", ["body", ("stem", "")]),
        (OptimizerConfig, "optimizer.delay", [{"stem": 0.0}, {"stem": 1.0}, {"": 0.5}, {"stem": "late"}, 0.5]),
        (OptimizerConfig, "optimizer.body_learning_rate_factor", [0, -1, INF]),
        (OptimizerConfig, "optimizer.warmup", [-1, 1.0, NAN]),
        (OptimizerConfig, "optimizer.momentum", [-0.1, 1]),
        (OptimizerConfig, "optimizer.weight_decay", [-1e-4, NAN]),
        (OptimizerConfig, "optimizer.gradient_clip", [0, -1.0, NAN]),
        (TrainConfig, "name", ["", " ", "a/b", "a\\b", ".."]),
        (TrainConfig, "model", ["mobilenet_v2", DataConfig(), None]),
        (TrainConfig, "epochs", [0, -1, 1.5, "3", True]),
        (TrainConfig, "batch_size", [0, -1]),
        (TrainConfig, "eval_batch_size", [0, -1]),
        (TrainConfig, "label_smoothing", [-0.1, 1, NAN]),
        (TrainConfig, "ema_decay", [0, 1, -0.5, NAN]),
        (TrainConfig, "seed", [-1, 0.5]),
        (TrainConfig, "checkpoint_every", [0, -1]),
        (TrainConfig, "output", ["runs/x"]),
    ],
)
def test_impossible_values_are_named_with_their_field(section, field, values):
    for value in values:
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
            section(**{field.rpartition(".")[2]: value})
        assert str(error.value).startswith((f"{field} must be ", f"{field}: unknown data set ")), value
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("shares", [(), (0.5, 0.5), (0.75, 0.5), (0.1, 0.5), (0.5, 1.0)])
def test_steps_of_the_learning_rate_come_one_after_another(shares):
    OptimizerConfig(decay_at=shares)
    with pytest.raises(ValueError, match=r"optimizer\.decay_at must be increasing shares from the warm-up's 0\.2 to"):
        OptimizerConfig(schedule="step", decay_at=shares)


def test_values_at_the_limits_are_possible():
    ModelConfig(dropout=0, drop_path=0.0, width=1e-3, num_classes=2)
    DataConfig(name="tfds/mnist", image_size=1, train_examples=1, test_examples=1)
    AugmentConfig(crop_padding=0, cutout=0, mixup=0, cutmix=0, random_resized_crop=1, random_erasing=1)
    OptimizerConfig(momentum=0, weight_decay=0, warmup=0)
    TrainConfig(epochs=1, batch_size=1, eval_batch_size=1, label_smoothing=0, seed=0)


def test_unknown_data_set_shows_the_nearest():
    with pytest.raises(ValueError, match=r"data.name: unknown data set 'cifar-10'; nearest: cifar10$"):
        DataConfig(name="cifar-10")
    with pytest.raises(ValueError, match="there are: shapes, cifar10, image_folder, scenes, mask_folder, "):
        DataConfig(name="zzz")


def test_frozen_statistics_need_weights_that_have_them():
    TrainConfig(batch_norm="frozen", model=ModelConfig(weights="start.safetensors"))
    with pytest.raises(ValueError, match=r"batch_norm must be global or per-device where no model\.weights have"):
        TrainConfig(batch_norm="frozen")


def test_image_folder_needs_a_directory():
    with pytest.raises(ValueError, match=r"data.directory must be a directory for image_folder"):
        DataConfig(name="image_folder")
    assert DataConfig(name="image_folder", directory=Path("photos")).directory == Path("photos")


@pytest.mark.parametrize("config", [TrainConfig(), FULL], ids=["defaults", "full"])
def test_round_trip_through_json(config):
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config), allow_nan=False))) == config


def test_full_differs_from_the_defaults_in_every_field():  # so that the round trip above covers every field
    assert set(differences(TrainConfig(), FULL)) == set(flatten(TrainConfig()))


def test_missing_keys_take_defaults():
    config = from_dict(TrainConfig, {"epochs": 3, "optimizer": {"momentum": 0.5}})
    assert config == TrainConfig(epochs=3, optimizer=OptimizerConfig(momentum=0.5))
    assert from_dict(DataConfig, {}) == DataConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch'; nearest: epochs"),
        (
            {"optimizer": {"momentun": 3}},
            "unknown field 'optimizer.momentun'; nearest: optimizer.momentum",
        ),
        ({"augment": {"zzz": 3}}, "unknown field 'augment.zzz'; there are: augment.crop_padding, augment.flip"),
        ({"epochs": "3"}, "epochs must be an integer, not '3'"),
        ({"model": {"width": "0.5"}}, "model.width must be a finite number or None, not '0.5'"),
        ({"model": {"dtype": "int8"}}, "model.dtype must be 'float32' or 'bfloat16', not 'int8'"),
        ({"model": {"weights": 3}}, "model.weights must be a string or None, not 3"),
        ({"data": {"name": "cifar"}}, "data.name: unknown data set 'cifar'; nearest: cifar10"),
        ({"data": [1]}, r"data must be a mapping of fields, not \[1\]"),
        ([], r"a config must be a mapping of fields, not \[\]"),
    ],
)
def test_from_dict_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(TrainConfig, values)


def test_differences():
    a = TrainConfig()
    b = replace(a, seed=1, data=DataConfig(directory=Path("d")), optimizer=OptimizerConfig(learning_rate=0.2))
    assert differences(a, b) == {
        "seed": (0, 1),
        "data.directory": (None, Path("d")),
        "optimizer.learning_rate": (None, 0.2),
    }
    assert differences(a, TrainConfig()) == {}


def test_every_field_is_documented():
    tree = ast.parse(inspect.getsource(config_module))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            documented = {
                first.target.id
                for first, second in zip(node.body, node.body[1:], strict=False)
                if isinstance(first, ast.AnnAssign)
                and isinstance(first.target, ast.Name)
                and isinstance(second, ast.Expr)
                and isinstance(second.value, ast.Constant)
            }
            assert documented == {f.name for f in fields(getattr(config_module, node.name))}, node.name


def test_every_lowering_can_be_forced():
    names = get_args(get_type_hints(TrainConfig)["lowering"])[0]
    assert get_args(names) == get_args(LoweringName)


def test_a_config_can_be_a_key():
    assert {FULL: "it"}[from_dict(TrainConfig, to_dict(FULL))] == "it"
