"""One member of an archive, and how its modification time is kept.

A zip's own time is local and even: it loses two seconds and the time zone. So the time also travels in two extra
fields. Our stages read 0x000a (NTFS, 100 ns, UTC) back exactly. 0x5455 (extended timestamp, seconds, UTC) is for other
tools. Formats: PKWARE's APPNOTE 4.5.5 and Info-ZIP's ``proginfo/extrafld.txt``."""

from __future__ import annotations

import os
import stat
import struct
import time
from typing import NamedTuple

from ..limits import MAX_DEPTH, MAX_MEMBER_NAME
from ..system.below import open_file

__all__ = ["Entry", "dos_time", "extra_fields", "modification_time", "split_extra"]

_NTFS = 0x000A
_EXTENDED = 0x5455
#: Seconds from 1601, where NTFS time begins, to 1970.
_NTFS_EPOCH = 11_644_473_600


class Entry(NamedTuple):
    """A file, directory or symbolic link to pack.

    ``name`` is relative, with ``/``; ``mode`` is a whole ``st_mode``. Content comes from ``data`` if it is set, else
    from the file at ``path``; the data of a link is its target. If ``directory`` is set, it is a descriptor of the
    directory of that file, open until the next entry is asked for. ``identity`` tells a file that has changed from one
    that has not: device, inode, size, and times of modification and of change in nanoseconds."""

    name: str
    mode: int
    mtime_ns: int
    size: int = 0
    path: str | None = None
    data: bytes | None = None
    directory: int | None = None
    identity: tuple[int, ...] | None = None

    @classmethod
    def of_bytes(cls, name: str, data: bytes, mode: int = 0o600) -> Entry:
        """A file that exists in the archive only."""
        return cls(name, stat.S_IFREG | mode, time.time_ns(), len(data), data=data)

    def open(self) -> int:
        """A descriptor of the file's content.

        :raises OSError: it is gone, or something else stands in its place.
        """
        assert self.path is not None
        if self.directory is None:
            return open_file(self.path, None)
        return open_file(os.path.basename(self.path), self.directory)

    @property
    def for_later(self) -> Entry:
        """The same for when another entry was asked for, and its directory may be closed: it is opened by its path."""
        return self if self.directory is None else self._replace(directory=None)

    @property
    def too_deep(self) -> bool:
        """Whether no receiver takes it because of its name."""
        return self.name.count("/") > MAX_DEPTH or len(self.name.encode()) >= MAX_MEMBER_NAME


def dos_time(mtime_ns: int) -> tuple[int, int]:
    """The date and time words of a zip header: local time, within what they can express (1980 to 2107)."""
    try:
        moment = time.localtime(mtime_ns // 1_000_000_000)[:6]
    except (OverflowError, ValueError, OSError):
        moment = (1980, 1, 1, 0, 0, 0)
    year, month, day, hour, minute, second = moment
    if year < 1980:
        year, month, day, hour, minute, second = 1980, 1, 1, 0, 0, 0
    elif year > 2107:
        year, month, day, hour, minute, second = 2107, 12, 31, 23, 59, 58
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2


def extra_fields(mtime_ns: int) -> bytes:
    """Both extra fields for a time; empty where a field cannot express it."""
    fields = b""
    seconds = mtime_ns // 1_000_000_000
    if -(2**31) <= seconds < 2**31:
        fields += struct.pack("<HHBl", _EXTENDED, 5, 1, seconds)
    ticks = mtime_ns // 100 + _NTFS_EPOCH * 10_000_000
    if 0 <= ticks < 2**63:
        fields += struct.pack("<HHLHHQQQ", _NTFS, 32, 0, 1, 24, ticks, ticks, ticks)
    return fields


def modification_time(extra: bytes, date_time: tuple[int, ...]) -> int:
    """The best modification time of a member, in nanoseconds since 1970.

    :param extra: the member's extra fields.
    :param date_time: year to second in the sender's local time, taken for ours if there is nothing better.
    """
    fields = dict(split_extra(extra))
    ntfs = fields.get(_NTFS, b"")
    if len(ntfs) >= 32 and ntfs[4:8] == b"\x01\x00\x18\x00":
        return (int(struct.unpack_from("<Q", ntfs, 8)[0]) - _NTFS_EPOCH * 10_000_000) * 100
    extended = fields.get(_EXTENDED, b"")
    if len(extended) >= 5 and extended[0] & 1:
        return int(struct.unpack_from("<l", extended, 1)[0]) * 1_000_000_000
    year, month, day, hour, minute, second = date_time[:6]
    try:
        return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1))) * 1_000_000_000
    except (OverflowError, ValueError):
        return 0


def split_extra(extra: bytes) -> list[tuple[int, bytes]]:
    """The kinds and contents of extra fields (APPNOTE 4.5.1)."""
    fields = []
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        fields.append((kind, extra[place + 4 : place + 4 + length]))
        place += 4 + length
    return fields
