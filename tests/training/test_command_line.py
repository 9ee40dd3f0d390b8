from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from zoo.training.command_line import Command, check_model_name, parse
from zoo.training.config import DataConfig, ModelConfig, TrainConfig, flatten, to_dict

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK_START = runpy.run_path(str(CONFIGS / "mobilenet_v2_shapes.py"))["get_config"]()


@pytest.fixture
def refuse(capsys):
    """A function that parses, expects a refusal, and returns its line."""

    def parse_and_read(*argv: str) -> str:
        with pytest.raises(SystemExit) as stop:
            parse(argv)
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.out == ""
        assert captured.err.startswith("train.py: error: ")
        assert captured.err.count("\n") == 1
        assert captured.err.endswith("\n")
        return captured.err.removeprefix("train.py: error: ").rstrip("\n")

    return parse_and_read


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a config file whose `get_config` has this body."""

    def write(body: str) -> str:
        path = tmp_path / "experiment.py"
        path.write_text(f"from zoo.training.config import *\n\n\ndef get_config():\n    {body}\n")
        return str(path)

    return write


@pytest.fixture
def run_directory(tmp_path):
    """A function that writes the directory of a run with this config."""

    def write(config: str) -> str:
        (tmp_path / "config.json").write_text(config)
        return str(tmp_path)

    return write


def test_no_arguments_give_the_quick_start(monkeypatch):
    assert parse([]) == Command(QUICK_START)
    monkeypatch.setattr("sys.argv", ["train.py", "--seed", "4"])
    assert parse() == Command(replace(QUICK_START, seed=4))


def test_the_quick_start_leaves_other_models_as_they_are():
    for name in ("mobilenet_v2_x1_4", "regnet_x_400mf"):
        assert parse(["--model.name", name]).config.model == ModelConfig(name=name)


def test_another_optimizer_does_not_inherit_the_rates_of_the_first():
    optimizer = parse(["--optimizer.name", "adamw"]).config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", None, None)
    optimizer = parse(["--optimizer.name=adamw", "--optimizer.weight-decay", "0.1"]).config.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (None, 0.1)
    assert parse(["--optimizer.name", "sgd"]).config == parse([]).config


def test_options_override_fields():
    switches = ["--model.small-images", "False", "--augment.no-flip"]
    values = [
        "--optimizer.learning-rate",
        "0.2",
        "--model.width=0.5",
        "--epochs",
        "7",
        "--optimizer.gradient_clip",
        "1",
    ]
    config = parse([*switches, *values, "--model.weights", "a.safetensors"]).config
    assert config.optimizer == replace(QUICK_START.optimizer, learning_rate=0.2, gradient_clip=1.0)
    expected = replace(QUICK_START.model, width=0.5, small_images=False, weights="a.safetensors")
    assert config.model == expected
    assert not config.augment.flip
    assert config.epochs == 7


def test_config_file_gives_the_defaults(config_file):
    path = config_file("return TrainConfig(name='mine', model=ModelConfig(width=0.5), seed=5)")
    command = parse(["--config", path, "--seed", "6", "--model.width", "None"])
    assert command == Command(TrainConfig(name="mine", model=ModelConfig(), seed=6), config_file=Path(path))


@pytest.mark.parametrize("start", ["", "model=ModelConfig(options={'output_stride': 4})"])
def test_pairs_are_given_alike_whether_the_config_has_some_or_not(config_file, refuse, start):
    path = config_file(f"return TrainConfig({start})")
    given = ["--model.options", "output_stride", "8", "rates", "1,2", "--optimizer.delay", "head", "0.5"]
    config = parse(["--config", path, *given, "--epochs", "7"]).config
    assert config.model.options == {"output_stride": 8, "rates": (1, 2)}
    assert config.optimizer.delay == {"head": 0.5}
    assert parse(["--config", path, "--model.options"]).config.model.options == {}
    assert refuse("--config", path, "--optimizer.delay", "head").endswith("head is not pairs of a name and a value")


def test_values_possible_only_together():
    assert parse(["--data.name", "image_folder", "--data.directory", "d"]).config.data == DataConfig(
        name="image_folder", directory=Path("d")
    )


def test_config_file_may_define_dataclasses(tmp_path):
    path = tmp_path / "experiment.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from zoo.training.config import TrainConfig\n"
        "@dataclass\nclass Mine:\n    x: ClassVar[int] = 1\n    y: int = 2\n"
        "def get_config():\n    return TrainConfig(seed=Mine().y)\n"
    )
    assert parse(["--config", str(path)]).config.seed == 2


def test_resume_starts_from_the_config_of_the_run(run_directory, refuse):
    config = replace(TrainConfig(), epochs=30, data=DataConfig(directory=Path("d")))
    run = run_directory(json.dumps(to_dict(config)))
    assert parse(["--resume", run]) == Command(config, resume=Path(run))
    assert parse([f"--resume={run}", "--epochs", "40"]).config == replace(config, epochs=40)
    assert refuse("--resume", run, "--tune").startswith("--tune is for the start of a run: a resumed one keeps")


def test_help_lists_every_option_in_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    captured = capsys.readouterr()
    assert stop.value.code == 0
    assert captured.err == ""
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "{None}" not in captured.out
    words = captured.out.replace(",", " ").split()
    for option in ["config", "resume", "tune", *flatten(TrainConfig())]:
        assert "--" + option.replace("_", "-") in words
    text = " ".join(captured.out.replace("│", " ").split())
    assert "Decay per step of a moving average of the weights, evaluated and saved instead of them" in text
    assert "Weight decay, of kernels only; None for what is usual for the optimizer. (default: 0.0005)" in text
    assert "Python file whose get_config() returns" in text
    assert "Directory of an earlier run" in text


def test_help_shows_the_defaults_of_the_config_file(capsys, config_file):
    with pytest.raises(SystemExit):
        parse(["--config", config_file("return TrainConfig(optimizer=OptimizerConfig(momentum=0.3))"), "--help"])
    assert "Momentum (sgd and rmsprop only). (default: 0.3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--optimizer.learning-rte 0.2", "unknown option --optimizer.learning-rte; nearest: --optimizer.learning-rate"),
        ("--learning_rate=0.2", "unknown option --learning_rate; nearest: --optimizer.learning-rate"),
        ("--epoch 3", "unknown option --epoch; nearest: --epochs"),
        ("--conf x.py", "unknown option --conf; nearest: --config"),
        ("--xyzzy", "unknown option --xyzzy; see --help"),
        ("configs/x.py", "unexpected argument 'configs/x.py'"),
        ("--augment.flip False", "unexpected argument 'False'"),
        ("--epochs 3.5", "--epochs: invalid literal for int() with base 10: '3.5'"),
        ("--optimizer.momentum much", "--optimizer.momentum: could not convert string to float: 'much'"),
        ("--model.width wide", "--model.width: could not convert string to float: 'wide'"),
        ("--model.dtype float16", "invalid choice 'float16' for argument '--model.dtype'. Expected one of ('float32',"),
        ("--epochs", "Missing value for argument '--epochs'"),
        ("--epochs --seed 3", "Missing value for argument '--epochs'"),
        ("--epochs 0", "epochs must be at least 1 (there is nothing to do otherwise), not 0"),
        ("--optimizer.learning-rate nan", "optimizer.learning_rate must be a finite number or None, not nan"),
        ("--optimizer.warmup 1", "optimizer.warmup must be at least 0 and below 1, not 1.0"),
        ("--seed=-1", "seed must be at least 0, not -1"),
        ("--data.name cifar", "data.name: unknown data set 'cifar'; nearest: cifar10"),
        ("--model.name mobilenet_v", "model.name: unknown model 'mobilenet_v'; nearest: mobilenet_v2"),
        ("--config", "--config: expected one argument"),
        ("--config no.py", "--config: there is no file no.py"),
        (
            "--config nin_cifar",
            "--config: there is no file nin_cifar; of those that come with zoo, nearest: nin_cifar10",
        ),
        ("--config elsewhere/nin_cifar10.py", "--config: there is no file elsewhere/nin_cifar10.py"),
        ("--resume nowhere", "--resume: there is no directory nowhere"),
        ("--config a.py --resume b", "--config and --resume exclude each other"),
        ("--tune --lowering dense", "--tune measures which lowering to take, lowering='dense' forces one"),
    ],
)
def test_errors(refuse, argv, message):
    assert refuse(*argv.split()).startswith(message)


@pytest.mark.parametrize("settings", [{"utf8_boxes": False}, {"ansi_codes": False}, {}])
@pytest.mark.parametrize("columns", ["40", "200"])
def test_errors_do_not_depend_on_the_terminal(refuse, monkeypatch, settings, columns):
    import tyro

    for name, value in settings.items():
        monkeypatch.setitem(tyro._experimental_options, name, value)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert refuse("--epochs", "many") == "--epochs: invalid literal for int() with base 10: 'many'"
    assert refuse("--augment.mixup", "-1") == "augment.mixup must be at least 0, not -1.0"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return TrainConfig(epoch=3)", ", line 5: TrainConfig has no field 'epoch'; nearest: epochs"),
        (
            "return TrainConfig(optimizer=OptimizerConfig(learnin_rate=3))",
            ", line 5: OptimizerConfig has no field 'learnin_rate'; nearest: learning_rate",
        ),
        ("return TrainConfig(epochs=0)", ", line 5: epochs must be at least 1"),
        ("return TrainConfig(epochs='3')", ", line 5: epochs must be an integer, not '3'"),
        ("return 1 / 0", ", line 5: ZeroDivisionError: division by zero"),
        ("return open(wrong)", ", line 5: NameError: name 'wrong' is not defined"),
        ("return (", ": SyntaxError: '(' was never closed"),
        ("return 3", ": get_config() must return a TrainConfig, not 3"),
        ("raise ValueError('one\\ntwo')", ", line 5: one two"),
        ("import sys; sys.exit(3)", ", line 5: SystemExit: 3"),
    ],
)
def test_config_file_that_fails(refuse, config_file, body, message):
    path = config_file(body)
    assert refuse("--config", path).startswith(path + message)


def test_config_file_without_get_config(refuse, tmp_path):
    path = tmp_path / "experiment.py"
    path.write_text("get_config = 3\n")
    assert refuse("--config", str(path)) == f"{path}: defines no function get_config()"
    text = tmp_path / "experiment.txt"
    text.write_text("")
    assert refuse("--config", str(text)) == f"--config: {text} is not a Python file (.py)"


def test_resume_without_a_usable_config(refuse, tmp_path, run_directory):
    assert refuse("--resume", str(tmp_path)).endswith("it has no config.json")
    run = run_directory('{"optimizer": {"momentun": 1}}')
    path = Path(run) / "config.json"
    assert refuse("--resume", run) == (f"{path}: unknown field 'optimizer.momentun'; nearest: optimizer.momentum")
    run_directory("{")
    assert refuse("--resume", run).startswith(f"{path}: Expecting property name")
    run_directory('{"epochs": NaN}')
    assert refuse("--resume", run) == f"{path}: epochs must be an integer, not nan"


def test_model_is_checked_last(refuse, monkeypatch):
    def fail(name):
        raise AssertionError("the registry was asked")

    monkeypatch.setattr(zoo, "model_info", fail)
    refuse("--epochs", "0")
    with pytest.raises(AssertionError, match="the registry was asked"):
        parse([])


def test_check_model_name():
    for name in zoo.list_models():
        check_model_name(name)
    with pytest.raises(ValueError, match=r"model.name: unknown model 'mobilenet_w2'; nearest: mobilenet_v2"):
        check_model_name("mobilenet_w2")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_configs_of_the_repository(path):
    command = parse(["--config", str(path)])
    is_for_any_model = path.stem in ("mobilenet_v2_shapes", "cifar10_short")  # whose runs have the model's name
    assert command.config.name == (None if is_for_any_model else path.stem)
    assert parse(["--config", path.stem]).config == command.config
    assert f"python train.py --config configs/{path.name}" in runpy.run_path(str(path))["__doc__"]
