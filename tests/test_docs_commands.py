"""The commands of the README and of the docs are understood: their options are those that there are."""

from __future__ import annotations

import functools
import json
import re
import shlex
from pathlib import Path

import pytest

import zoo.cli
from zoo.training.command_line import parse
from zoo.training.config import TrainConfig, to_dict

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("uv", "uvx", "zoo", "python", "pip", "srun", "mpirun", "$")


def commands_of(text: str) -> list[tuple[list[str], str]]:
    """The commands in the plain blocks of a text, as words, each with the line after it."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```", text, flags=re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        for line, after in zip(lines, [*lines[1:], ""], strict=True):
            if line.partition(" ")[0] in PROGRAMS:
                words = shlex.split(line.removeprefix("$ ").rpartition("&& ")[2], comments=True)
                found.append((words, after))
    return found


def cases() -> list:
    return [
        pytest.param(words, after, id=f"{path.name}: {' '.join(words)}")
        for path in TEXTS
        for words, after in commands_of(path.read_text("utf-8"))
    ]


@pytest.fixture
def parsing_only(monkeypatch):
    """Commands end when their options are known to be right."""

    def stub(command):
        return functools.wraps(command)(lambda *args, **options: None)

    commands = {name: stub(command) for name, command in zoo.cli._commands().items()}
    monkeypatch.setattr(zoo.cli, "_commands", lambda: commands)


@pytest.mark.usefixtures("parsing_only")
@pytest.mark.parametrize(("words", "after"), cases())
def test_a_command_is_understood(words, after, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    training = next((words.index(program) + 1 for program in ("train.py",) if program in words), None)
    if words[:2] == ["zoo", "train"]:
        training = 2
    if training is not None:
        arguments = words[training:]
        if "--resume" in arguments:  # a run of its own, in the place of one that is not here
            (tmp_path / "config.json").write_text(json.dumps(to_dict(TrainConfig())))
            arguments[arguments.index("--resume") + 1] = str(tmp_path)
        if "error: " in after:
            with pytest.raises(SystemExit, match="2"):
                parse(arguments)
            assert capsys.readouterr().err.strip() == after
        elif "--help" in arguments:
            with pytest.raises(SystemExit, match="0"):
                parse(arguments)
        else:
            parse(arguments)
    elif "zoo" in words:
        assert zoo.cli.main(words[words.index("zoo") + 1 :]) == 0
    else:
        scripts = [word for word in words if word.endswith(".py") and "/" in word]
        assert all((ROOT / script).is_file() for script in scripts)


def test_the_commands_are_found():
    words = [words for words, _ in commands_of((ROOT / "README.md").read_text("utf-8"))]
    assert ["uv", "run", "train.py"] in words
    assert any("--optimizer.freeze" in command and "run" in command for command in words)


@pytest.mark.usefixtures("parsing_only")
def test_an_option_that_there_is_not_is_noticed():
    with pytest.raises(SystemExit):
        zoo.cli.main(["eval", "run", "--dta", "elsewhere"])
