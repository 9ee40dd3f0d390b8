"""Official archives, by the addresses and checksums that TensorFlow Datasets (TFDS) has registered.

TFDS downloads them, or takes the user's copies, and checks their sha256; `unpack` needs no TensorFlow.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.data.dataset import DataUnavailableError

_PATIENCE = 15.0  # seconds to wait for an archive's host; TFDS itself would try for minutes without a word


def unpack(title: str, builder: str, archives: Sequence[str], folders: Sequence[str], prepared: Path) -> None:
    """Has a directory hold what is in archives. If it is there, it is used as it is.

    It gets its name when all is in it, so that it is whole or not there.

    Args:
        title: what the data set is called in messages.
        builder: of TFDS, which has registered the archives.
        archives: their file names. Copies in `downloads/manual` beside the directory's parent, which is TFDS's data
            directory, are used instead of the network.
        folders: of the archives; what lies elsewhere is not unpacked.
        prepared: `TFDS_DATA_DIR/NAME/...`.

    Raises:
        DataUnavailableError: if an archive cannot be had, or cannot be unpacked. The message says what to do.
    """
    if prepared.is_dir():
        return
    directory = prepared.parent.parent
    otherwise = (
        f"--data.directory DIR, if DIR/{prepared.relative_to(directory)} is there from an earlier run",
        "--data.name scenes, which needs no files",
    )
    paths = fetch(title, builder, archives, directory, otherwise)
    unfinished = prepared.with_name(f"{prepared.name}.{secrets.token_hex(4)}.unfinished")
    print(f"Unpacking {title} in {prepared} (once)", file=sys.stderr)
    wanted = tuple(f"{folder}/" for folder in folders)
    try:
        unfinished.mkdir(parents=True)
        for path in paths:
            with tarfile.open(path) as archive:
                members = (member for member in archive if member.name.startswith(wanted))
                archive.extractall(unfinished, members, filter="data")
        os.replace(unfinished, prepared)
    except (OSError, tarfile.TarError) as error:
        if not prepared.is_dir():  # Otherwise another process was faster.
            raise DataUnavailableError(f"{title} cannot be unpacked in {prepared}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def fetch(title: str, builder: str, archives: Sequence[str], directory: Path, otherwise: Sequence[str]) -> list[Path]:
    """Where the archives are, whose sha256 is right.

    Args:
        title, builder, archives: see `unpack`.
        directory: TFDS's data directory.
        otherwise: what else a user can do if they cannot be had.

    Raises:
        DataUnavailableError: if they cannot be had. The message says what to do.
    """
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, resource

    url_infos: dict[str, Any] = tfds.builder_cls(builder).url_infos
    by_name = {info.filename: (url, info) for url, info in url_infos.items()}
    downloads = directory / "downloads"
    manual = downloads / "manual"
    ways_out = "\n  - ".join(
        [
            "Ways out:",
            *(f"put the official archive, {by_name[archive][0]}, at {manual / archive}" for archive in archives),
            *otherwise,
        ]
    )
    fetched = downloads / builder  # by an earlier attempt, or by TFDS itself

    def is_there(archive: str) -> bool:
        url, info = by_name[archive]
        earlier = fetched / resource.get_dl_fname(url, info.checksum)
        return (manual / archive).exists() or resource.is_locally_cached(earlier)

    missing = [by_name[archive] for archive in archives if not is_there(archive)]
    if missing:
        size = sum(info.size for _, info in missing) / 2**20
        print(f"Downloading {title}, {size:.0f} MiB, to {downloads} (once)", file=sys.stderr)
        if problem := why_unreachable(missing[0][0]):
            raise DataUnavailableError(f"{title} is not in {directory} and cannot be downloaded: {problem}\n{ways_out}")
    unfinished = set(fetched.glob("*.tmp.*"))
    paths = []
    try:
        manager = tfds.download.DownloadManager(
            download_dir=downloads, manual_dir=manual, url_infos=url_infos, dataset_name=builder
        )
        for archive in archives:
            url, official = by_name[archive]
            paths.append(Path(manager.download(url)))
    except download_manager.NonMatchingChecksumError:
        copy = manual / archive
        wrong = f"{copy} ({copy.stat().st_size:,} bytes)" if copy.exists() else f"What {url} sent"
        raise DataUnavailableError(
            f"{wrong} is not the official archive of {title}: that has {int(official.size):,} bytes and the sha256 "
            f"{official.checksum}. It is not used.\n{ways_out}"
        ) from None
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise DataUnavailableError(f"The download of {title} broke off: {error}\n{ways_out}") from error
    except OSError as error:
        raise DataUnavailableError(f"{title} cannot be downloaded to {downloads}: {error}") from error
    finally:
        for partial in set(fetched.glob("*.tmp.*")) - unfinished:
            shutil.rmtree(partial, ignore_errors=True)
    return paths


def why_unreachable(url: str) -> str | None:
    """Why `url` cannot be fetched, or None if it answers in time."""
    import requests  # with which TFDS fetches it: the same proxies, the same certificates

    problem: list[str | None] = [f"no answer from {url} within {_PATIENCE:.0f} s"]

    def ask() -> None:
        try:
            with requests.get(url, stream=True, timeout=_PATIENCE) as response:
                response.raise_for_status()
            problem[0] = None
        except OSError as error:
            problem[0] = f"no connection to {url} ({type(error).__name__})"
            if isinstance(error, requests.HTTPError):
                problem[0] = str(error)

    thread = threading.Thread(target=ask, daemon=True)  # requests' timeout does not cover the look-up of a name.
    thread.start()
    thread.join(_PATIENCE)
    return problem[0]
