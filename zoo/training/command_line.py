"""The command line of `train.py` and `zoo train`: a config file or an earlier run, each field overridden by an option.

tyro parses the options and writes the help. Whatever is wrong ends in one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import io
import itertools
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, get_args

import tyro

import zoo
from zoo.messages import fail
from zoo.options import OPTIONS
from zoo.suggestions import nearest
from zoo.training import config as config_module
from zoo.training.config import CONFIG_FILE, OptimizerName, TrainConfig, flatten

QUICK_START = "mobilenet_v2_shapes"  # the config of a command that names none


@dataclass(frozen=True)
class Cluster:
    """How the processes of a run on several hosts find each other; None for what JAX finds in the environment."""

    coordinator_address: str | None = None
    """HOST:PORT of process 0."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Number of this process, from 0."""


@dataclass(frozen=True)
class Command:
    """Trains a net. Every field of the config is an option.

    Defaults are those of --config or --resume, or else of the quick start.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    """The resolved config."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE")] = None
    """Python file whose get_config() returns the TrainConfig to start from, or the name of one that comes with zoo,
    such as mobilenet_v2_cifar10."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN_DIR")] = None
    """Directory of an earlier run, to continue with its config from its last checkpoint."""
    tune: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """First measure on this device which lowering is the fastest for each convolution of a step, as `zoo tune` does."""
    distributed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """This is one of several processes that train together, as SLURM, Open MPI or a Cloud TPU starts them."""
    cluster: Annotated[Cluster, tyro.conf.arg(name="distributed")] = Cluster()
    """How the processes of a run on several hosts find each other; one of these stands for --distributed."""

    @property
    def is_distributed(self) -> bool:
        """Whether this process has to join others."""
        return self.distributed or self.cluster != Cluster()


def parse(argv: Sequence[str] | None = None, program: str = "train.py") -> Command:
    """Reads the command line.

    Args:
        argv: the arguments after the program's name; None for those of this process.
        program: its name, for messages and help.

    Raises:
        SystemExit: with status 2 after one line on stderr if anything is wrong; with status 0 after `--help`.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        command = _parse_options(argv, _starting_point(argv), program)
        if command.tune and command.resume is not None:
            raise ValueError("--tune is for the start of a run: a resumed one keeps the lowerings that it has")
        if command.tune and command.config.lowering is not None:
            raise ValueError(f"--tune measures which lowering to take, lowering={command.config.lowering!r} forces one")
        check_model_name(command.config.model.name)
    except ValueError as error:
        raise SystemExit(fail(program, " ".join(str(error).split()), 2)) from None
    return command


def check_model_name(name: str) -> None:
    """Raises ValueError, with the nearest known names, if there is no such model."""
    try:
        zoo.model_info(name)  # imports all models, so after everything else has been found right
    except ValueError as error:
        raise ValueError(f"model.name: {error}") from None


def load_config(path: Path) -> TrainConfig:
    """What `get_config()` of a config file returns.

    Raises:
        ValueError: if the file is missing or fails, has no `get_config`, or returns anything else.
    """
    path = _find_config(path)
    spec = importlib.util.spec_from_file_location("_config_file", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--config: {path} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass that the file defines looks up its module here
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise ValueError("defines no function get_config()")
        config = module.get_config()
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        place = f"{path}, line {lines[-1]}" if lines else f"{path}"
        raise ValueError(f"{place}: {_explain(error)}") from error
    if not isinstance(config, TrainConfig):
        raise ValueError(f"{path}: get_config() must return a TrainConfig, not {config!r}")
    return config


def _find_config(path: Path) -> Path:
    """The file itself, or the one of that name among those that come with zoo."""
    if path.is_file():
        return path
    package = Path(zoo.__file__).parent
    # In the wheel the configs are inside the package, in a checkout beside it.
    folder = package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
    ours = folder / f"{path.stem}.py"
    if path.parent not in (Path(), Path("configs")) or not ours.is_file():
        known = sorted(file.stem for file in folder.glob("*.py"))
        raise ValueError(f"--config: there is no file {path}; of those that come with zoo, {nearest(path.stem, known)}")
    return ours


def load_run_config(run: Path) -> TrainConfig:
    """The config that an earlier run wrote into its directory.

    Raises:
        ValueError: if there is no such directory, or no usable config in it.
    """
    if not run.is_dir():
        raise ValueError(f"--resume: there is no directory {run}")
    if not (run / CONFIG_FILE).is_file():
        raise ValueError(f"--resume: {run} is not the directory of a run: it has no {CONFIG_FILE}")
    return config_module.of_run(run)


def _starting_point(argv: Sequence[str]) -> Command:
    """The command before options override fields; tyro needs it as the default, so what it depends on is read first."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--optimizer.name", dest="optimizer")
    try:
        known, _ = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ValueError(f"{error.argument_name}: {error.message}") from None
    if known.config is not None and known.resume is not None:
        raise ValueError("--config and --resume exclude each other: a resumed run starts from the config it had")
    if known.resume is not None:
        return Command(load_run_config(known.resume), None, known.resume)
    config = load_config(known.config or Path(QUICK_START))
    return Command(_for_optimizer(config, known.optimizer), known.config)


def _for_optimizer(config: TrainConfig, name: str | None) -> TrainConfig:
    """The config without what it chose for its own optimizer, if the command names another one."""
    if name in (None, config.optimizer.name) or name not in get_args(OptimizerName):  # the parser says what is wrong
        return config
    return replace(config, optimizer=replace(config.optimizer, learning_rate=None, weight_decay=None))


def _parse_options(argv: Sequence[str], default: Command, program: str) -> Command:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            command, unknown = tyro.cli(
                Command, default=default, args=argv, prog=program, registry=OPTIONS, return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code in (None, 0):
            raise
        raise ValueError(_message_in_box(errors.getvalue())) from None
    if unknown:
        option = next((argument for argument in unknown if argument.startswith("--")), unknown[0])
        raise ValueError(_explain_unknown(option, default.config))
    return command


def _message_in_box(box: str) -> str:
    """The message of an error that tyro has drawn as a box: title, message, rule, help."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)  # colours
    rows = [row.strip(" │") for row in text.splitlines()[1:]]
    rows = list(itertools.dropwhile(_is_rule, rows))
    message = " ".join(itertools.takewhile(lambda row: not _is_rule(row), rows))
    # "Error parsing --epochs: ...", but for our own ValueErrors "Error parsing config.optimizer: optimizer. ...".
    return re.sub(r"^Error parsing ([^-\s]\S*: )?", "", message) or text


def _is_rule(row: str) -> bool:
    return not row.strip("─- ")


def _explain_unknown(argument: str, config: TrainConfig) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}: values follow their option, on-off options (--x, --no-x) take none"
    option = argument.partition("=")[0]
    fields = ("--" + path.replace("_", "-") for path in flatten(config))
    known = ["--config", "--resume", "--tune", "--distributed", *fields]
    near = difflib.get_close_matches(option, known)
    return f"unknown option {option}; {'nearest: ' + ', '.join(near) if near else 'see --help'}"


def _explain(error: Exception | SystemExit) -> str:
    """What a config file did wrong."""
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if isinstance(error, TypeError) and unknown:
        section = getattr(config_module, unknown[1], None)
        if section is not None:
            return f"{unknown[1]} has no field {unknown[2]!r}; {nearest(unknown[2], section.__dataclass_fields__)}"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
