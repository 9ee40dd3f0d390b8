"""Which pictures are below a folder, remembered in the user's cache so that a start need not search them all again."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL

from zoo.atomic_file import replacing
from zoo.data.dataset import DataUnavailableError
from zoo.pictures import UnreadablePictureError, read_picture
from zoo.user_cache import user_cache_directory

SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

_FORMAT = 1
_SETTLED = 2_000_000_000  # ns; clocks of file systems are coarse: a folder may change once more within one tick of them
_CHECKED_TOGETHER = 1000  # pictures that wait for a thread at a time


@dataclass(frozen=True)
class Listing:
    """What is in one folder, not below it.

    Attributes:
        modified: when an entry was last added, removed or renamed, in ns.
        folders: names of its folders, and of links to folders, in alphabetical order.
        pictures: names of its files with one of the `SUFFIXES`, in alphabetical order.
        ignored: kind -> number of all other entries.
    """

    modified: int
    folders: list[str]
    pictures: list[str]
    ignored: Mapping[str, int]


@dataclass(frozen=True)
class _Verdict:
    """Whether a picture can be read, and of which content of its file that was said."""

    size: int
    changed: int
    is_readable: bool


@dataclass
class _Memory:
    """What was found earlier, by the path of a folder within the root."""

    listings: dict[str, Listing] = field(default_factory=dict)
    verdicts: dict[str, dict[str, _Verdict]] = field(default_factory=dict)


class PictureIndex:
    """The pictures below a folder.

    A picture is a file with one of the `SUFFIXES`, in upper or lower case; what has another one is ignored, and so are
    files and folders whose names begin with a dot, `__MACOSX`, and links that lead nowhere. A folder is a folder
    whatever its name. Links to folders are followed, but no folder is read twice below one other, so that a loop ends.

    What was found is kept by `save`, a file for each root, and is believed of every folder whose time of modification
    is still the same: that changes whenever an entry is added, removed or renamed, but not when a link's target comes
    or goes, nor on file systems that keep no such times. A file that is overwritten in place is still the same picture.

    Args:
        root: the folder.

    Raises:
        OSError: here and in all methods, if a folder cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = _cache_file(root)
        self._remembered = _read(self._file)
        self._found = _Memory()
        self._is_changed = False

    def listing(self, folder: str = "") -> Listing:
        """What is in a folder, whose path within the root is given."""
        return self._list(folder, os.stat(self._root / folder))

    def walk(self, folder: str) -> tuple[list[str], Counter[str]]:
        """The pictures below a folder as paths within the root, in alphabetical order, and the ignored entries."""
        pictures: list[str] = []
        ignored: Counter[str] = Counter()
        read: set[tuple[int, int]] = set()
        pending = [folder]
        while pending:
            current = pending.pop()
            status = os.stat(self._root / current)
            if (status.st_dev, status.st_ino) in read:
                ignored["repeated"] += 1
                continue
            read.add((status.st_dev, status.st_ino))
            listing = self._list(current, status)
            pictures += [os.path.join(current, name) for name in listing.pictures]
            ignored.update(listing.ignored)
            pending += [os.path.join(current, name) for name in reversed(listing.folders)]
        return sorted(pictures), ignored

    def readable(self, pictures: Sequence[str], shorter_side: int) -> list[str]:
        """Those of the pictures that can be decoded; each is tried once, and again when its file has changed.

        A file is taken to be the same as long as its size and the time of its last change (`ctime`) are. With another
        version of Pillow all are tried again.

        Args:
            pictures: paths within the root, as `walk` gives them.
            shorter_side: with which they are read, see `zoo.pictures.read_picture`.
        """
        verdicts: dict[str, _Verdict] = {}
        untried: list[tuple[str, int, int]] = []
        for picture in pictures:
            folder, name = os.path.split(picture)
            status = os.stat(self._root / picture)
            verdict = self._remembered.verdicts.get(folder, {}).get(name)
            if verdict is not None and (verdict.size, verdict.changed) == (status.st_size, status.st_ctime_ns):
                verdicts[picture] = verdict
            else:
                untried.append((picture, status.st_size, status.st_ctime_ns))
        if untried:
            self._is_changed = True
            what = "picture" if len(untried) == 1 else "pictures"
            print(f"Checking {len(untried):,} {what} in {self._root} (once)", file=sys.stderr)

        def is_readable(picture: str) -> bool:
            try:
                read_picture(self._root / picture, shorter_side)
            except UnreadablePictureError:
                return False
            return True

        with ThreadPoolExecutor() as pool:  # Pillow lets go of Python's lock while it decodes.
            try:
                for start in range(0, len(untried), _CHECKED_TOGETHER):
                    some = untried[start : start + _CHECKED_TOGETHER]
                    results = pool.map(is_readable, [picture for picture, _, _ in some])
                    for (picture, size, changed), result in zip(some, results, strict=True):
                        verdicts[picture] = _Verdict(size, changed, result)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                self._remember(verdicts)
                self.save()  # The next start goes on from here.
                raise
        self._remember(verdicts)
        return [picture for picture in pictures if verdicts[picture].is_readable]

    def save(self) -> None:
        """Keeps what was found for the next start; if that fails, a warning says so."""
        if not self._is_changed:
            return
        for folder, verdicts in self._remembered.verdicts.items():
            if folder in self._found.listings and folder not in self._found.verdicts:  # not asked for this time
                self._found.verdicts[folder] = verdicts
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as unfinished:
                unfinished.write_bytes(_to_bytes(self._found))
        except OSError as error:
            reason = error.strerror or error
            warnings.warn(
                f"the index of {self._root} cannot be kept in {self._file.parent} ({reason}); "
                "the next start will search it again",
                stacklevel=2,
            )

    def _list(self, folder: str, status: os.stat_result) -> Listing:
        listing = self._remembered.listings.get(folder)
        if listing is None or listing.modified != status.st_mtime_ns:
            listing = _scan(self._root / folder, status.st_mtime_ns)
            self._is_changed = True
        if time.time_ns() - listing.modified > _SETTLED:
            self._found.listings[folder] = listing
        return listing

    def _remember(self, verdicts: Mapping[str, _Verdict]) -> None:
        for picture, verdict in verdicts.items():
            folder, name = os.path.split(picture)
            self._found.verdicts.setdefault(folder, {})[name] = verdict


def find_pictures(folder: Path) -> tuple[list[Path], str]:
    """All pictures below a folder, and what to say of its other entries; an empty text if there are none.

    Raises:
        DataUnavailableError: if there is no picture.
        OSError: if a folder cannot be read.
    """
    found, ignored = PictureIndex(folder).walk("")
    if not found:
        raise DataUnavailableError(f"{folder} has no pictures ({', '.join(SUFFIXES)})")
    others = ignored.total()
    note = f"{others} other {'file' if others == 1 else 'files'} passed over" if others else ""
    return [folder / picture for picture in found], note


def describe_unused(ignored: Counter[str], skipped: Sequence[str]) -> str:
    """What to say, behind what was found, of what is not used: entries by their kinds, and unreadable pictures."""
    line = ""
    if ignored:
        kinds = [f"{count:,} {kind}" for kind, count in sorted(ignored.items(), key=lambda item: (-item[1], item))]
        listed = ", ".join(kinds[:5]) + ", ..." * (len(kinds) > 5)
        line += f", {counted(ignored.total(), 'entry', 'entries')} ignored ({listed})"
    if skipped:
        line += f", {counted(len(skipped), 'unreadable picture')} skipped, the first is {skipped[0]}"
    return line


def counted(count: int, one: str, several: str | None = None) -> str:
    """So many things, in words: `1 picture`, `1,234 pictures`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _scan(folder: Path, modified: int) -> Listing:
    folders, pictures = [], []
    ignored: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                ignored["hidden"] += 1
                continue
            kind = _kind(entry)
            suffix = os.path.splitext(entry.name)[1].lower()
            if kind == "folder":
                folders.append(entry.name)
            elif kind == "file" and suffix in SUFFIXES:
                pictures.append(entry.name)
            else:
                ignored[(suffix or "without suffix") if kind == "file" else kind] += 1
    return Listing(modified, sorted(folders), sorted(pictures), dict(ignored))


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # A link that leads to itself.
        return "broken"
    return "broken" if entry.is_symlink() else "special"


def _cache_file(root: Path) -> Path:
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return user_cache_directory() / "folders" / f"{place}.json"


def _read(file: Path) -> _Memory:
    """What the cache has; nothing if there is none, or, with a warning, if it is damaged."""
    try:
        checksum, _, body = file.read_bytes().partition(b"\n")
        if checksum != _checksum(body):
            raise ValueError("it does not have its checksum")
        content: dict[str, Any] = json.loads(body)
        if content["format"] != _FORMAT:
            return _Memory()
        memory = _Memory({folder: Listing(*listing) for folder, listing in content["listings"].items()})
        if content["pillow"] == PIL.__version__:
            memory.verdicts = {
                folder: {name: _Verdict(*verdict) for name, verdict in verdicts.items()}
                for folder, verdicts in content["verdicts"].items()
            }
        return memory
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        warnings.warn(f"the cache {file} cannot be read ({error}); it is made again", stacklevel=4)
    return _Memory()


def _to_bytes(memory: _Memory) -> bytes:
    """A line with a checksum, and one of JSON."""
    content = {
        "format": _FORMAT,
        "pillow": PIL.__version__,
        "listings": {
            folder: (listing.modified, listing.folders, listing.pictures, listing.ignored)
            for folder, listing in memory.listings.items()
        },
        "verdicts": {
            folder: {name: (verdict.size, verdict.changed, verdict.is_readable) for name, verdict in verdicts.items()}
            for folder, verdicts in memory.verdicts.items()
        },
    }
    body = json.dumps(content, separators=(",", ":")).encode()  # pure ASCII, whatever the names of the files
    return _checksum(body) + b"\n" + body


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
