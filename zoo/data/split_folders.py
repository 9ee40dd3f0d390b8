"""Where the training and the test pictures of a directory are."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from zoo.data.dataset import DataUnavailableError

TEST_FOLDERS = ("test", "valid", "val")  # The first one that is there is used.


def find_test(directory: Path) -> Path | None:
    """The folder of the test pictures, if there is one."""
    return next((directory / name for name in TEST_FOLDERS if (directory / name).is_dir()), None)


def find_splits(directory: Path, test_share: float, *, holds: str, share_of: str) -> tuple[Path, Path | None]:
    """The directories to train on and to test on; None where a share is taken to test on.

    Args:
        directory: has `train` and one of the `TEST_FOLDERS`; with a `test_share`, `train` or the pictures themselves.
        test_share: above 0 and below 1; 0 to ask for a test folder.
        holds: what is in the directory of a split, for messages.
        share_of: of what the share is taken, for messages.

    Raises:
        DataUnavailableError: if a directory is not there.
        ValueError: if there is both a test folder and a `test_share`.
    """
    if not directory.is_dir():
        raise DataUnavailableError(f"there is no directory {directory}")
    train = directory / "train"
    test = find_test(directory)
    if test_share and test is not None:
        raise ValueError(f"test_share is {test_share}, but {test} is there to test on; leave out one of them")
    if train.is_dir() and (test is not None or test_share):
        return train, test
    if test_share:
        return directory, None
    if not train.is_dir():
        raise DataUnavailableError(
            f"there is no directory {train}. If {directory} has {holds}, "
            f"--data.test-share 0.2 takes that share of {share_of} to test on"
        )
    raise DataUnavailableError(
        f"there is no directory {directory / TEST_FOLDERS[0]} (nor {' or '.join(TEST_FOLDERS[1:])}); "
        f"--data.test-share 0.2 takes that share of {share_of} of {train} to test on"
    )


def describe_others(directory: Path, used: Collection[str]) -> list[str]:
    """What to say of the entries of a directory that are not among those used: one text, or none."""
    others = sorted(entry.name for entry in os.scandir(directory) if entry.name not in used)
    return ["not used: " + ", ".join(others[:5]) + ", ..." * (len(others) > 5)] if others else []
