"""Reads what is to be packed, and says which contents it has.

Rules: a file that is known is not read. Any other is read once: what is sent is what was digested. What no receiver
takes is left out and told, as of any archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from ..archive.collect import CHANGED, HOLES, Report, opened, refusal
from ..archive.deflate import deflate
from ..archive.entry import Entry
from ..archive.pack import holes_of
from ..limits import MAX_HOLES
from .cutting import CUT_FROM, Cut, cut
from .digest_index import DigestIndex
from .manifest import TreeEntry
from .references import Digester, Reference
from .stretch import KnownFile, Stretch

__all__ = ["KEPT", "Content", "FileReader", "Read", "is_kept"]

#: What is below these goes through the store of a node.
KEPT = ("project", "roles", "inventory")


def is_kept(name: str) -> bool:
    """Whether a file of this name goes through the store of a node."""
    return name.partition("/")[0] in KEPT


class Content(NamedTuple):
    """A content that the receiver lacks."""

    reference: Reference
    data: bytes


#: What comes of reading: an entry that travels as ever, a content, what the manifest says of a file whose contents came
#: before, or a stretch of files that the receiver has. None: something was read, and nothing comes of it.
Read: TypeAlias = Entry | Content | TreeEntry | Stretch | None


class FileReader:
    """:param there: the digests of what the receiver should have."""

    def __init__(self, report: Report, digester: Digester, index: DigestIndex, there: Container[bytes]) -> None:
        self._report = report
        self._digester = digester
        self._index = index
        self._there = there
        self._sent: set[bytes] = set()
        self._members = self._unpacked = self._holes = 0

    def read(self, entries: Iterable[Entry | Stretch]) -> Generator[Read, None, None]:
        for entry in entries:
            if isinstance(entry, Stretch):
                if self._takes(entry):
                    yield entry
                continue
            if not is_kept(entry.name):
                yield entry.for_later
                continue
            refused = refusal(entry, self._members, self._unpacked)
            self._members += 1
            self._unpacked += entry.size
            if refused is None:
                yield from self._kept(entry)
            else:
                self._report(entry.path or entry.name, refused, True)

    def _takes(self, stretch: Stretch) -> bool:
        """Whether a receiver takes the stretch beside what came before. That it does not is told."""
        self._members += len(stretch.names)
        last = Entry(stretch.names[-1], stretch.facts[-1][0], 0, stretch.size)
        refused = refusal(last, self._members - 1, self._unpacked)
        self._unpacked += stretch.size
        if refused is not None:
            self._report(last.name, refused, True)
        return refused is None

    def _kept(self, entry: Entry) -> Iterator[Read]:
        if stat.S_ISDIR(entry.mode):
            self._index.note(entry)
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns)
            return
        if stat.S_ISLNK(entry.mode):
            target = entry.data or b""
            crc = deflate.crc32(target)
            self._index.note(entry, KnownFile(crc, ()))
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns, len(target), crc, target=target)
            return
        if entry.data is not None:
            data = entry.data
            pieces = cut(lambda place, length: data[place : place + length], len(data), (), self._digester)
            yield from self._contents(entry, pieces)
            return
        known = self._index.known(entry)
        if known is not None and all(map(self._is_there, known.cuts)):
            references = tuple(one.reference for one in known.cuts)
            self._index.note(entry, known)
            yield TreeEntry(entry.name, entry.mode, entry.mtime_ns, entry.size, known.crc, references)
            return
        yield from self._file(entry)

    def _file(self, entry: Entry) -> Iterator[Read]:
        fd = opened(entry, self._report)
        if fd is None:
            return
        path = entry.path or entry.name
        try:
            if self._has_too_many_holes(entry, fd):
                self._report(path, HOLES, True)
            else:
                before = self._index.earlier_cuts(entry)
                yield from self._contents(entry, cut(_reader(fd, entry.size), entry.size, before, self._digester), fd)
        except OSError as exc:
            self._report(path, f"cannot be read: {exc.strerror}", True)
        finally:
            os.close(fd)

    def _has_too_many_holes(self, entry: Entry, fd: int) -> bool:
        """Asked of a file that is cut: one that is not has not that many."""
        if entry.size <= CUT_FROM:
            return False
        self._holes += holes_of(fd, entry.size, MAX_HOLES)
        return self._holes > MAX_HOLES

    def _contents(self, entry: Entry, pieces: Iterator[tuple[Cut, bytes]], fd: int = -1) -> Iterator[Read]:
        """What the receiver lacks of a file, and then what it is."""
        cuts: list[Cut] = []
        size = crc = 0
        for one, data in pieces:
            size += len(data)
            crc = one.reference.crc if not cuts else deflate.crc32(data, crc)
            cuts.append(one)
            if self._is_there(one):
                yield None
            else:
                self._sent.add(one.reference.digest)
                yield Content(one.reference, data)
        unchanged = fd < 0 or size == entry.size == os.fstat(fd).st_size
        if not unchanged:
            self._report(entry.path or entry.name, CHANGED, False)
        self._index.note(entry, KnownFile(crc, tuple(cuts)), unchanged=unchanged)
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
