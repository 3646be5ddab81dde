"""Writes a zip archive by appending only, so that its digest is known when its last byte is.

Why not ``zipfile``: it cannot use ISA-L, which compresses as well as zlib's default does at several times its speed.
It does not yield while it works. It compresses what does not shrink. Anything that reads zip reads what this writes:
deflated or stored members, data descriptors for large ones, zip64 where sizes need it (PKWARE's APPNOTE 4.3)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple

from ..errors import OutputError
from ..limits import FREE_GROWTH, MAX_GROWTH, MAX_HOLES
from ..system.places import temporary_place
from .collect import CHANGED, HOLES, Report, opened, refusal
from .deflate import LEVEL, deflate
from .entry import Entry, dos_time, extra_fields

__all__ = ["Squeezed", "ZipPacker", "holes_of", "squeezed"]

_READ = 128 * 1024
#: A file up to this size is read and compressed in one go.
_SMALL = _READ
#: What does not shrink to this part is stored.
_WORTH = 0.95
#: How much of a large file is tried.
_SAMPLE = 64 * 1024
_ZIP64_FROM = 0xFFFFFFFF

_UTF8 = 0x800
_DESCRIPTOR = 0x8
_MADE_BY = 3 << 8 | 45
_STORED, _DEFLATED = 0, 8


class Squeezed(NamedTuple):
    """A member as it is in the archive: ``entry`` without its content, ``data`` as ``method`` of the format has it, and
    the CRC-32 of the content.
    """

    entry: Entry
    method: int
    data: bytes
    crc: int


def squeezed(entry: Entry, content: bytes) -> Squeezed:
    """Compresses the content of ``entry``, if it is worth it. Any thread may."""
    whole = entry._replace(data=None, size=len(content))
    if len(content) > 64 and stat.S_ISREG(entry.mode):
        packed = deflate.compress(content, LEVEL, wbits=-15)
        if len(packed) < len(content) * _WORTH:
            return Squeezed(whole, _DEFLATED, packed, deflate.crc32(content))
    return Squeezed(whole, _STORED, content, deflate.crc32(content))


class ZipPacker:
    """One archive being written to ``file``."""

    def __init__(self, file: IO[bytes], report: Report) -> None:
        self.size = 0
        self._file = file
        self._report = report
        self._digest = hashlib.sha256()
        self._directory: list[bytes] = []
        #: Whether a receiver takes it as a whole.
        self.acceptable = True
        #: Told the name, mode, size and CRC-32 of each member.
        self.told: Callable[[str, int, int, int], None] | None = None
        self._unpacked = 0
        self._holes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def pack(self, entries: Iterable[Entry | Squeezed | None]) -> Iterator[None]:
        """Writes ``entries`` and the central directory, yielding often. What no receiver takes is left out and told.

        :param entries: None is no entry: the caller has his turn.
        :raises OutputError: the spool cannot be written, most likely because the disk is full.
        """
        for item in entries:
            if item is not None:
                yield from self._add_or_refuse(item)
            yield
        self._finish()

    def _add_or_refuse(self, item: Entry | Squeezed) -> Iterator[None]:
        entry = item.entry if isinstance(item, Squeezed) else item
        refused = refusal(entry, len(self._directory), self._unpacked)
        if refused is None:
            yield from self._add(item)
        else:
            self._report(entry.path or entry.name, refused, True)

    def chunks(self) -> Iterator[bytes]:
        """The archive again, from its beginning."""
        self._file.seek(0)
        while chunk := self._file.read(_READ):
            yield chunk

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as exc:
            raise OutputError(f"cannot write an archive in {temporary_place()}: {exc.strerror}") from exc
        self._digest.update(data)
        self.size += len(data)

    def _add(self, item: Entry | Squeezed) -> Iterator[None]:
        if isinstance(item, Squeezed):
            self._add_squeezed(item)
        elif item.data is not None or stat.S_ISDIR(item.mode):
            self._add_squeezed(squeezed(item, item.data or b""))
        else:
            yield from self._add_file(item)

    def _add_file(self, entry: Entry) -> Iterator[None]:
        fd = opened(entry, self._report)
        if fd is None:
            return
        try:
            if entry.size <= _SMALL:
                self._add_squeezed(squeezed(entry, self._read_small(fd, entry)))
            else:
                yield from self._add_large(entry, fd)
        except _Unreadable as exc:
            self._report(entry.path or entry.name, f"cannot be read: {exc}", True)
        finally:
            os.close(fd)

    def _read_small(self, fd: int, entry: Entry) -> bytes:
        data = _read(fd, entry.size + 1)
        if len(data) != entry.size:
            assert entry.path is not None
            self._report(entry.path, CHANGED, False)
        return data[: entry.size]

    def _add_squeezed(self, item: Squeezed) -> None:
        member = _Member(item.entry, item.method, self.size)
        member.crc, member.size, member.packed = item.crc, item.entry.size, len(item.data)
        self._write(member.local_header())
        self._write(item.data)
        self._unpacked += member.size
        self._finish_member(item.entry, member)

    def _add_large(self, entry: Entry, fd: int) -> Iterator[None]:
        """Writes a file in pieces, and its sizes behind it. It writes no more than the size that was told, because a
        file may grow for ever.
        """
        assert entry.path is not None
        self._holes += holes_of(fd, entry.size, MAX_HOLES)
        if self._holes > MAX_HOLES:
            self._report(entry.path, HOLES, True)
            return
        chunk = _read(fd, min(_READ, entry.size))
        sample = chunk[:_SAMPLE]
        worth = len(deflate.compress(sample, LEVEL, wbits=-15)) < len(sample) * _WORTH
        member = _Member(entry, _DEFLATED if worth else _STORED, self.size, descriptor=True)
        self._write(member.local_header())
        squeeze: Any = deflate.compressobj(LEVEL, wbits=-15) if worth else None
        while chunk:
            member.crc = deflate.crc32(chunk, member.crc)
            member.size += len(chunk)
            packed = squeeze.compress(chunk) if squeeze else chunk
            member.packed += len(packed)
            self._write(packed)
            yield
            chunk = _read(fd, min(_READ, entry.size - member.size))
        if squeeze:
            packed = squeeze.flush()
            member.packed += len(packed)
            self._write(packed)
        self._write(member.descriptor_record())
        self._finish_member(entry, member)
        self._unpacked += member.size
        if member.size != entry.size or os.fstat(fd).st_size != entry.size:
            self._report(entry.path, CHANGED, False)

    def _finish_member(self, entry: Entry, member: _Member) -> None:
        self._directory.append(member.directory_header())
        if self.told is not None:
            self.told(entry.name, entry.mode, member.size, member.crc)

    def _finish(self) -> None:
        if self._unpacked > max(FREE_GROWTH, self.size * MAX_GROWTH):
            self.acceptable = False
            self._report(
                "the archive", f"shrinks from {self._unpacked} bytes to {self.size}; no receiver takes it", True
            )
        start = self.size
        for header in self._directory:
            self._write(header)
        length, count = self.size - start, len(self._directory)
        if count > 0xFFFF - 1 or start >= _ZIP64_FROM or length >= _ZIP64_FROM:
            end = self.size
            self._write(struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start))
            self._write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        few = min(count, 0xFFFF)
        small = min(length, _ZIP64_FROM), min(start, _ZIP64_FROM)
        self._write(struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, few, few, *small, 0))
        try:
            self._file.flush()
        except OSError as exc:
            raise OutputError(f"cannot write an archive in {temporary_place()}: {exc.strerror}") from exc


def holes_of(fd: int, size: int, enough: int) -> int:
    """How many of the first ``size`` bytes are in holes, or ``enough`` if there are more (lseek(2))."""
    holes = place = 0
    with contextlib.suppress(OSError):  # ENXIO: nothing but a hole up to the end; EINVAL: no holes are known here
        while place < size and holes <= enough:
            begin = os.lseek(fd, place, os.SEEK_HOLE)
            if begin < size:
                holes += size - begin
                place = os.lseek(fd, begin, os.SEEK_DATA)
                holes -= max(0, size - place)
            else:
                break
    os.lseek(fd, 0, os.SEEK_SET)
    return holes


class _Unreadable(Exception):
    pass


def _read(fd: int, size: int) -> bytes:
    """Up to ``size`` bytes, fewer only at the end of the file."""
    try:
        data = os.read(fd, size)
        while data and len(data) < size and (more := os.read(fd, size - len(data))):
            data += more
    except OSError as exc:
        raise _Unreadable(exc.strerror) from exc
    return data


class _Member:
    """The headers of one member. A large member has its sizes behind its data, in 8 bytes each."""

    def __init__(self, entry: Entry, method: int, offset: int, *, descriptor: bool = False) -> None:
        self.crc = self.size = self.packed = 0
        self._method = method
        self._offset = offset
        self._wide = descriptor
        directory = stat.S_ISDIR(entry.mode)
        self._name = (entry.name + "/" if directory else entry.name).encode()
        self._flags = (0 if self._name.isascii() else _UTF8) | (_DESCRIPTOR if descriptor else 0)
        self._attributes = (entry.mode & 0xFFFF) << 16 | (0x10 if directory else 0)
        self._date, self._time = dos_time(entry.mtime_ns)
        self._times = extra_fields(entry.mtime_ns)

    def local_header(self) -> bytes:
        extra = struct.pack("<HHQQ", 1, 16, 0, 0) if self._wide else b""
        sizes = (0, _ZIP64_FROM, _ZIP64_FROM) if self._wide else (self.crc, self.packed, self.size)
        head = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 45 if self._wide else 20, self._flags, self._method, self._time, self._date,
            *sizes, len(self._name), len(extra),
        )  # fmt: skip
        return head + self._name + extra

    def descriptor_record(self) -> bytes:
        return struct.pack("<4sLQQ", b"PK\7\x08", self.crc, self.packed, self.size)

    def directory_header(self) -> bytes:
        wide = [value for value in (self.size, self.packed, self._offset) if value >= _ZIP64_FROM]
        extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        extra += self._times
        head = struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", _MADE_BY, 45 if wide or self._wide else 20, self._flags, self._method,
            self._time, self._date, self.crc, min(self.packed, _ZIP64_FROM), min(self.size, _ZIP64_FROM),
            len(self._name), len(extra), 0, 0, 0, self._attributes, min(self._offset, _ZIP64_FROM),
        )  # fmt: skip
        return head + self._name + extra
