"""`ExportError`: why a net cannot be exported, a missing package first of all."""

from __future__ import annotations

from importlib.util import find_spec


class ExportError(ValueError):
    """A net cannot be exported, or what was written is not the net; the message is one line that says why."""


_APART = "litert-converter"  # wants an older typing-extensions than tyro, for a part of it that is not used here


def require_packages(purpose: str, packages: tuple[str, ...]) -> None:
    """Checks that optional packages are installed, without importing them.

    Args:
        purpose: what they are for, the beginning of the message.
        packages: their names on the package index, from which those of their modules follow.

    Raises:
        ExportError: if one is not, naming what to install.
    """
    missing = [package for package in packages if find_spec(package.replace("-", "_")) is None]
    if missing:
        commands = ['`pip install "conv-zoo[export]"`'] * (missing != [_APART])
        commands += [f"`pip install --no-deps {_APART}`"] * (_APART in missing)
        raise ExportError(f"{purpose} takes {' and '.join(missing)}: {', then '.join(commands)}")
