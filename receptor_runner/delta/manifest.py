"""The list of what a directory holds, by name, mode, time and contents, in pieces that are contents themselves.

Rules: no IO. A piece ends behind a name that says so by itself, so one changed file changes one piece. What is read may
be a stranger's: a piece that is not what it should be is an ``ArchiveError``. docs/stream.md has the format."""

from __future__ import annotations

import json
import stat
import zlib
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as _text
from typing import Any, NamedTuple

from ..errors import ArchiveError
from ..limits import MAX_PIECE
from ..stream.bounded_json import parse_json
from .references import DIGEST_BYTES, Reference

__all__ = ["BLOB", "MANIFEST", "PieceWriter", "TreeEntry", "ends_piece", "read_piece", "read_root", "write_root"]

#: The member with the root, and what the name of a content begins with. No file of a job has such a name, because those
#: are relative.
MANIFEST = "/manifest"
BLOB = "/"

_encode = json.JSONEncoder(separators=(",", ":")).encode
_VERSION = 1
#: One name in so many ends a piece.
_NAMES_A_PIECE = 128
_LONGEST = MAX_PIECE // 4
#: Times travel in units of so many nanoseconds, as in a zip.
_TICK = 100
_LAST_TICK = 2**63
_LARGEST_MODE = 0xFFFF


class TreeEntry(NamedTuple):
    """A file, directory or link. ``mode`` is a whole ``st_mode``, ``crc`` that of the whole file, ``references`` its
    contents one behind the other. ``target`` is that of a link.
    """

    name: str
    mode: int
    mtime_ns: int
    size: int = 0
    crc: int = 0
    references: tuple[Reference, ...] = ()
    target: bytes = b""


def ends_piece(name: str) -> bool:
    """Whether a piece ends behind an entry of this name."""
    return zlib.crc32(name.encode()) % _NAMES_A_PIECE == 0


class PieceWriter:
    """Give it entries in their order; it hands out pieces when they are whole."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0

    def add(self, entry: TreeEntry) -> Iterator[bytes]:
        line = _line(entry)
        if self._size + len(line) > _LONGEST:
            yield from self.rest()
        self._lines.append(line)
        self._size += len(line)
        if ends_piece(entry.name):
            yield from self.rest()

    @property
    def is_between(self) -> bool:
        """Whether the next entry begins a piece."""
        return not self._lines

    def rest(self) -> Iterator[bytes]:
        """What is left at the end."""
        if self._lines:
            yield f"[{','.join(self._lines)}]".encode()
            self._lines, self._size = [], 0


def _line(entry: TreeEntry) -> str:
    """A list in JSON, of which only texts have to be encoded: there may be very many."""
    line = f"[{_text(entry.name)},{entry.mode},{entry.mtime_ns // _TICK}"
    if stat.S_ISLNK(entry.mode):
        line += f",{_text(entry.target.decode('utf-8', 'surrogateescape'))}"
    elif stat.S_ISREG(entry.mode):
        line += f",{entry.size},{entry.crc}"
        for digest, size, crc in entry.references:
            line += f',["{digest.hex()}",{size},{crc}]'
    return f"{line}]"


def read_piece(data: bytes) -> Iterator[TreeEntry]:
    """:raises ArchiveError: it is no piece."""
    try:
        values = parse_json(data)
        if not isinstance(values, list):
            raise TypeError("it is no list")
        for one in values:
            yield _entry(*one)
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise ArchiveError(f"the manifest of the archive is damaged: {exc}") from exc


def _entry(name: str, mode: int, ticks: int, *rest: Any) -> TreeEntry:
    """:raises ValueError: it is none.
    :raises TypeError: a value has another type.
    """
    if not isinstance(name, str) or type(mode) is not int or type(ticks) is not int:
        raise TypeError("a value has the wrong type")
    if abs(ticks) >= _LAST_TICK or not 0 <= mode <= _LARGEST_MODE:
        raise ValueError(f"{name[:200]!r} has a time or a mode that cannot be")
    if stat.S_ISDIR(mode) and not rest:
        return TreeEntry(name, mode, ticks * _TICK)
    if stat.S_ISLNK(mode):
        (target,) = rest
        return TreeEntry(name, mode, ticks * _TICK, target=target.encode("utf-8", "surrogateescape"))
    if not stat.S_ISREG(mode):
        raise ValueError(f"{name[:200]!r} is neither a file nor a directory nor a link")
    size, crc, *contents = rest
    references = tuple(_reference(*one) for one in contents)
    if type(size) is not int or sum(one.size for one in references) != size:
        raise ValueError(f"{name[:200]!r} has other contents than its size says")
    return TreeEntry(name, mode, ticks * _TICK, size, crc, references)


def _reference(text: str, size: int, crc: int) -> Reference:
    digest = bytes.fromhex(text)
    if len(digest) != DIGEST_BYTES or type(size) is not int or type(crc) is not int or not 0 <= size <= MAX_PIECE:
        raise ValueError("it names a content that cannot be")
    return Reference(digest, size, crc)


def write_root(pieces: list[Reference]) -> bytes:
    """What leads to the pieces."""
    listed = [[one.digest.hex(), one.size, one.crc] for one in pieces]
    return _encode({"version": _VERSION, "pieces": listed}).encode()


def read_root(data: bytes) -> list[Reference]:
    """:raises ArchiveError: it leads nowhere."""
    try:
        root = parse_json(data)
        if root["version"] != _VERSION:
            raise ValueError(f"it is of the version {root['version']!r}, and {_VERSION} is known here")
        return [_reference(*one) for one in root["pieces"]]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ArchiveError(f"the manifest of the archive is damaged: {exc}") from exc
