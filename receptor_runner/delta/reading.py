"""Reads what is to be packed, and says which contents it has.

Rules: a file that is known is not read. Any other is read once: what is sent is what was digested. What no receiver
takes is left out and told, as of any archive."""

from __future__ import annotations

import dataclasses
import os
import stat
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from ..archive.collect import Report, check_shortage
from ..archive.deflate import deflate
from ..archive.entry import Entry
from ..archive.pack import holes_of
from ..limits import MAX_DEPTH, MAX_HOLES, MAX_MEMBER_NAME, MAX_MEMBERS, MAX_UNPACKED
from .cutting import CUT_FROM, Cut, cut
from .digest_index import DigestIndex
from .manifest import TreeEntry
from .references import Digester, Reference

__all__ = ["Content", "FileReader", "Read", "is_kept"]

_KEPT = ("project", "roles", "inventory")


def is_kept(name: str) -> bool:
    """Whether a file of this name goes through the store of a node."""
    return name.partition("/")[0] in _KEPT


class Content(NamedTuple):
    """A content that the receiver lacks."""

    reference: Reference
    data: bytes


#: What comes of reading: an entry that travels as ever, a content, or what the manifest says of a file whose contents
#: came before.
Read: TypeAlias = Entry | Content | TreeEntry


class FileReader:
    """:param there: the digests of what the receiver should have."""

    def __init__(self, report: Report, digester: Digester, index: DigestIndex, there: Container[bytes]) -> None:
        self._report = report
        self._digester = digester
        self._index = index
        self._there = there
        self._sent: set[bytes] = set()
        self._count = self._unpacked = self._holes = 0

    def read(self, entries: Iterable[Entry]) -> Generator[Read, None, None]:
        for entry in entries:
            if not is_kept(entry.name):
                yield self._at_hand(entry)
                continue
            refusal = self._refusal(entry)
            if refusal is not None:
                self._report(entry.path or entry.name, refusal, True)
                continue
            yield from self._kept(entry)

    def _at_hand(self, entry: Entry) -> Entry:
        """The directory of an entry is open only until the next is asked for, and this one is packed later. It is
        opened by its path then.
        """
        return entry if entry.directory is None else dataclasses.replace(entry, directory=None)

    def _refusal(self, entry: Entry) -> str | None:
        """Why a receiver would refuse the archive because of ``entry``."""
        self._count += 1
        self._unpacked += entry.size
        if entry.too_deep:
            return f"is deeper than {MAX_DEPTH} directories, or its name is longer than {MAX_MEMBER_NAME} bytes"
        if self._count > MAX_MEMBERS:
            return f"is one file too many: an archive has {MAX_MEMBERS} at most"
        if self._unpacked > MAX_UNPACKED:
            return f"is too large: an archive holds {MAX_UNPACKED} bytes at most"
        return None

    def _kept(self, entry: Entry) -> Iterator[Read]:
        if stat.S_ISDIR(entry.mode):
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns)
            return
        if stat.S_ISLNK(entry.mode):
            target = entry.data or b""
            crc = deflate.crc32(target)
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns, len(target), crc, target=target)
            return
        if entry.data is not None:
            data = entry.data
            pieces = cut(lambda place, length: data[place : place + length], len(data), (), self._digester)
            yield from self._contents(entry, pieces if len(data) > CUT_FROM else self._whole(data))
            return
        known = self._index.known(entry)
        if known is not None and all(map(self._is_there, known.cuts)):
            references = tuple(one.reference for one in known.cuts)
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns, entry.size, known.crc, references)
            return
        yield from self._file(entry)

    def _file(self, entry: Entry) -> Iterator[Read]:
        assert entry.path is not None
        try:
            fd = entry.open()
        except OSError as exc:
            check_shortage(exc, entry.path)
            self._report(entry.path, f"cannot be read: {exc.strerror}", not isinstance(exc, FileNotFoundError))
            return
        try:
            if entry.size <= CUT_FROM:
                yield from self._contents(entry, self._whole(_reader(fd, entry.size)(0, entry.size)), fd)
            elif self._has_too_many_holes(entry, fd):
                text = f"is left out: it has holes, and an archive has {MAX_HOLES} bytes of them"
                self._report(entry.path, text, True)
            else:
                before = self._index.earlier_cuts(entry)
                yield from self._contents(entry, cut(_reader(fd, entry.size), entry.size, before, self._digester), fd)
        except OSError as exc:
            self._report(entry.path, f"cannot be read: {exc.strerror}", True)
        finally:
            os.close(fd)

    def _has_too_many_holes(self, entry: Entry, fd: int) -> bool:
        self._holes += holes_of(fd, entry.size, MAX_HOLES)
        return self._holes > MAX_HOLES

    def _whole(self, data: bytes) -> Iterator[tuple[Cut, bytes]]:
        if data:
            yield Cut(self._digester.reference(data), b""), data

    def _contents(self, entry: Entry, pieces: Iterator[tuple[Cut, bytes]], fd: int = -1) -> Iterator[Read]:
        """What the receiver lacks of a file, and then what it is."""
        begun = time.time_ns()
        cuts: list[Cut] = []
        size = crc = 0
        for one, data in pieces:
            size += len(data)
            crc = one.reference.crc if not cuts else deflate.crc32(data, crc)
            cuts.append(one)
            if not self._is_there(one):
                self._sent.add(one.reference.digest)
                yield Content(one.reference, data)
        if fd >= 0 and (size != entry.size or os.fstat(fd).st_size != entry.size):
            self._report(entry.path or entry.name, "changed while it was read; what was there first travels", False)
        elif fd >= 0:
            self._index.note(entry, crc, tuple(cuts), begun)
        yield TreeEntry(entry.name, entry.mode, entry.mtime_ns, size, crc, tuple(one.reference for one in cuts))

    def _is_there(self, one: Cut) -> bool:
        return one.reference.digest in self._there or one.reference.digest in self._sent


def _reader(fd: int, size: int) -> Callable[[int, int], bytes]:
    """Reads no further than ``size``: a file may grow for ever."""

    def read(place: int, length: int) -> bytes:
        parts = []
        length = min(length, size - place)
        while length > 0 and (data := os.pread(fd, length, place)):
            parts.append(data)
            place += len(data)
            length -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    return read
