"""The directory of a zip that nobody vouches for: which members it has, and where their data is.

Rules: nothing is held but one member, so a directory of any length costs time and no memory. What the end record counts
is not believed; members are counted as they come. Members have to lie one behind the other, as every writer that
appends leaves them, so no byte is the data of two. Formats: PKWARE's APPNOTE 4.3.12 to 4.3.16 and 4.5.3."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ..errors import ArchiveError
from ..limits import MAX_MEMBER_NAME
from .entry import modification_time, split_extra

__all__ = ["DEFLATED", "STORED", "Member", "ZipDirectory"]

STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_HEADER = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_WIDE = 0xFFFFFFFF
_ZIP64 = 1
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LONGEST_HEADER = _HEADER.size + 3 * 0xFFFF
_READ = 4 * _LONGEST_HEADER


@dataclass(frozen=True, slots=True)
class Member:
    """``mode`` is a whole ``st_mode``, 0 if the writer told none. ``packed`` and ``size`` are bytes; ``offset`` is
    where the local header begins.
    """

    name: str
    mode: int
    mtime_ns: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def directory(self) -> bool:
        return self.name.endswith("/")


class ZipDirectory:
    """The directory of the zip in ``file``.

    :raises ArchiveError: there is none.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        end, length, offset = _end_record(file)
        self._start = end - length
        self._end = end
        #: How much stands before the archive: offsets are counted from its beginning.
        self._before = self._start - offset
        if self._start < 0 or self._before < 0:
            raise ArchiveError("the archive is damaged: its directory is not where it says")

    def members(self) -> Iterator[Member]:
        """One member after the other.

        :raises ArchiveError: the directory is damaged, or members share their data.
        """
        place, buffer, used, free = self._start, b"", 0, 0
        while place < self._end:
            if len(buffer) - used < _LONGEST_HEADER:
                self._file.seek(place)
                buffer, used = self._file.read(min(_READ, self._end - place)), 0
            member, size = _member(buffer, used, self._before)
            if member.offset < free:
                raise ArchiveError(f"members of the archive share their data, at {member.name[:200]!r}")
            free = member.offset + _LOCAL.size + member.packed
            if free > self._start:
                raise ArchiveError(f"the archive is damaged: {member.name[:200]!r} reaches into its directory")
            yield member
            used += size
            place += size

    def data_of(self, member: Member) -> int:
        """Where the data of ``member`` begins.

        :raises ArchiveError: it has no header of its own there.
        """
        self._file.seek(member.offset)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size:
            raise ArchiveError(f"the archive is damaged: {member.name[:200]!r} is behind its end")
        mark, _, flags, *_, name_length, extra_length = _LOCAL.unpack(head)
        if mark != b"PK\3\4" or _text(self._file.read(name_length), flags) != member.name:
            raise ArchiveError(f"the archive is damaged: {member.name[:200]!r} is not where the directory says")
        return member.offset + _LOCAL.size + int(name_length) + int(extra_length)


def _end_record(file: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory ends, how long it is, and at which offset it says that it begins.

    The end record is the last 22 bytes and a comment. Only one whose comment ends with the file is believed: the mark
    may stand inside of a comment, too."""
    size = file.seek(0, os.SEEK_END)
    first = max(0, size - _END.size - _LONGEST_COMMENT)
    file.seek(first)
    tail = file.read()
    place = len(tail)
    while (place := tail.rfind(b"PK\5\6", 0, place)) >= 0:
        if len(tail) - place < _END.size:
            continue
        *_, length, offset, comment = _END.unpack_from(tail, place)
        if place + _END.size + comment == len(tail):
            return _wide_end_record(file, first + place) or (first + place, length, offset)
    raise ArchiveError("the archive is damaged: it has no end record, so it is not a zip file or not all of one")


def _wide_end_record(file: IO[bytes], end: int) -> tuple[int, int, int] | None:
    """The zip64 end record, which stands with its locator before the other one."""
    start = end - _LOCATOR.size - _END64.size
    if start < 0:
        return None
    file.seek(start)
    mark, *_, length, offset = _END64.unpack(file.read(_END64.size))
    locator = _LOCATOR.unpack(file.read(_LOCATOR.size))
    return (start, length, offset) if mark == b"PK\6\6" and locator[0] == b"PK\6\7" else None


def _member(data: bytes, place: int, before: int) -> tuple[Member, int]:
    """The member whose header is at ``place`` in ``data``, and the length of that."""
    if len(data) - place < _HEADER.size:
        raise ArchiveError("the archive is damaged: its directory is cut")
    mark, _, _, flags, method, clock, date, crc, packed, size, *rest = _HEADER.unpack_from(data, place)
    name_length, extra_length, comment_length, _, _, attributes, offset = rest
    begin = place + _HEADER.size
    end = begin + name_length + extra_length
    if mark != b"PK\1\2" or end + comment_length > len(data):
        raise ArchiveError("the archive is damaged: its directory has something that is not a member")
    if name_length > MAX_MEMBER_NAME:
        raise ArchiveError("the archive has a member with a name that is too long")
    name = _text(data[begin : begin + name_length], flags)
    if flags & _ENCRYPTED:
        raise ArchiveError(f"the archive has an encrypted member: {name[:200]!r}")
    extra = data[end - extra_length : end]
    size, packed, offset = _wide(extra, size, packed, offset)
    day = (date >> 9) + 1980, date >> 5 & 0xF, date & 0x1F
    moment = (*day, clock >> 11, clock >> 5 & 0x3F, (clock & 0x1F) * 2)
    member = Member(
        name, attributes >> 16, modification_time(extra, moment), method, crc, packed, size, offset + before
    )
    return member, end + comment_length - place


def _wide(extra: bytes, *values: int) -> list[int]:
    """The values; those that do not fit into a header are in its zip64 field."""
    if _WIDE not in values:
        return list(values)
    field = dict(split_extra(extra)).get(_ZIP64, b"")
    found = []
    for value in values:
        if value != _WIDE or len(field) < 8:
            found.append(value)
        else:
            found += struct.unpack_from("<Q", field)
            field = field[8:]
    return found


def _text(name: bytes, flags: int) -> str:
    """:raises ArchiveError: it is not what it says."""
    try:
        return name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as exc:
        raise ArchiveError("the archive has a member whose name is not UTF-8") from exc
