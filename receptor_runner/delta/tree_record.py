"""What is noted of a directory that a job leaves for the next one: its untouched files, by the pieces that list them.

Rules: it is written when no process of the job runs any more, and lies where no job has been. It is of one start of the
machine, because what was written before a crash may never have reached the disk; a checksum finds what a disk has
damaged. A piece is in it only if all that it lists is there."""

from __future__ import annotations

import itertools
import json
import os
import stat
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..archive.deflate import deflate
from ..stream.bounded_json import parse_json
from ..system.below import read_regular
from .manifest import TreeEntry
from .references import DIGEST_BYTES, Reference
from .untouched import Seen, Untouched

__all__ = ["MOST_CONTENTS", "MOST_FILES", "ListedPiece", "TreeRecord"]

_NAME = "record"
_LONGEST = 128 * 1024 * 1024
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: So many files are noted; the rest is made anew each time. All these names are in memory while the job runs.
MOST_FILES = 200_000
#: So many contents of them are, by the pieces that list them.
MOST_CONTENTS = 400_000
_HEX = 2 * DIGEST_BYTES


class ListedPiece(NamedTuple):
    """What a piece of the list of files names: ``files`` (and links), and ``directories`` with mode and time.

    ``digest`` is that of the piece, and ``contents`` are those of the files, all in hex. ``size`` is what the files
    have together, in bytes.
    """

    digest: str
    files: list[str]
    directories: list[tuple[str, int, int]]
    size: int
    contents: str

    @classmethod
    def of(cls, reference: Reference, entries: Sequence[TreeEntry]) -> ListedPiece:
        """The piece ``reference``, which lists ``entries``."""
        return cls(
            reference.digest.hex(),
            [one.name for one in entries if not stat.S_ISDIR(one.mode)],
            [(one.name, one.mode, one.mtime_ns) for one in entries if stat.S_ISDIR(one.mode)],
            sum(one.size for one in entries),
            "".join(content.digest.hex() for one in entries for content in one.references),
        )

    @property
    def members(self) -> int:
        return len(self.files) + len(self.directories)

    def names_any(self, sent: frozenset[str]) -> bool:
        """Whether one of the contents is in ``sent``."""
        return bool(sent) and any(
            self.contents[place : place + _HEX] in sent for place in range(0, len(self.contents), _HEX)
        )

    def is_in(self, files: Container[str], directories: Container[str]) -> bool:
        """Whether all that it names is there."""
        return all(map(files.__contains__, self.files)) and all(name in directories for name, _, _ in self.directories)


class TreeRecord(NamedTuple):
    """``files`` are those that were noted, ``pieces`` list them, by their digests in hex; not all files are listed."""

    files: dict[str, Seen]
    pieces: dict[str, ListedPiece]

    @classmethod
    def read(cls, directory: str) -> TreeRecord:
        """:raises OSError: there is none.
        :raises ValueError: it is of an earlier start of the machine, or damaged.
        :raises TypeError: it is of another version.
        :raises KeyError: it is of another version.
        """
        checksum, _, body = read_regular(os.path.join(directory, _NAME), _LONGEST).partition(b"\n")
        if checksum != _checksum(body):
            raise ValueError("the record is damaged")
        given = parse_json(body)
        if given["boot"] != _boot():
            raise ValueError("the machine was started since")
        record = cls(_seen(given["files"]), {})
        for digest, files, directories, size, contents in given["pieces"]:
            seen = _seen(files)
            record.files.update(seen)
            named = [(str(name), int(mode), int(mtime_ns)) for name, mode, mtime_ns in directories]
            record.pieces[digest] = ListedPiece(digest, list(seen), named, int(size), str(contents))
        return record

    @classmethod
    def write(cls, directory: str, found: Untouched, listed: Iterable[ListedPiece]) -> int:
        """Writes what is noted of ``found``, and returns how many bytes that are.

        :raises OSError: it cannot be written.
        :raises ValueError: nobody would read so long a one.
        """
        left = dict(itertools.islice(found.files.items(), MOST_FILES))
        pieces = []
        for piece in listed:
            if piece.is_in(left, found.directories):
                files = [(name, *left.pop(name)) for name in piece.files]
                pieces.append((piece.digest, files, *piece[2:]))
        files = [(name, *seen) for name, seen in left.items()]
        body = json.dumps({"boot": _boot(), "files": files, "pieces": pieces}).encode("ascii")
        data = _checksum(body) + b"\n" + body
        if len(data) > _LONGEST:
            raise ValueError("there is too much to note")
        with open(os.path.join(directory, _NAME), "xb") as file:
            file.write(data)
        return len(data)


def _seen(files: Iterable[tuple[Any, ...]]) -> dict[str, Seen]:
    return {name: Seen(*seen) for name, *seen in files}


def _checksum(body: bytes) -> bytes:
    return b"%08x" % deflate.crc32(body)


def _boot() -> str:
    return _BOOT.read_text(encoding="ascii")
