"""Extracts a zip that nobody vouches for.

Rules: no member leaves the target, none is a device, and none keeps setuid, setgid or sticky bits. Every bound is
checked before the first byte is written. An archive that cannot be extracted whole is an ``ArchiveError``; that the
target takes no more is an ``OutputError``."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import IO, Any

from ..errors import ArchiveError, LimitError
from ..limits import DEFAULT_LIMITS, FREE_GROWTH, MAX_GROWTH, MAX_MEMBER_NAME, StreamLimits
from .deflate import deflate
from .directory import DEFLATED, STORED, Member, ZipDirectory
from .tree import Tree, parts_of, write_all, writing

__all__ = ["Counted", "check_bounds", "content", "extract", "placed_members", "unpack_zip", "zip_member"]

_READ = 512 * 1024
#: How many members are looked at before the caller has its turn.
_MEMBERS_AT_ONCE = 1000
#: Where only ``process`` puts files.
_EVENTS = "job_events"


def unpack_zip(
    file: IO[bytes], target: str, limits: StreamLimits = DEFAULT_LIMITS, *, artifacts: bool = False
) -> Iterator[None]:
    """Extracts the zip in ``file`` below the existing directory ``target``, yielding often.

    :param artifacts: what a job has left: nothing becomes readable for others, no link leads out of the target, and
        event files are left out.
    :raises ArchiveError: the archive is damaged or hostile. What had been extracted before stays.
    :raises LimitError: it is larger than ``limits``.
    :raises OutputError: the target cannot be written.
    """
    directory = ZipDirectory(file)
    yield from check_bounds(directory, limits)
    with writing(target), Tree(target, artifacts, limits.members) as tree:
        for member, place in placed_members(directory):
            yield from extract(file, member, place, tree)
        yield from tree.finish()


def placed_members(directory: ZipDirectory) -> Iterator[tuple[Member, int]]:
    """Every member, and where its data begins.

    :raises ArchiveError: members share their data.
    """
    free = 0
    for member in directory.members():
        place = directory.data_of(member)
        if place < free:
            raise ArchiveError(f"members of the archive share their data, at {member.name[:200]!r}")
        free = place + member.packed
        yield member, place


def zip_member(file: IO[bytes], name: str, limit: int, limits: StreamLimits = DEFAULT_LIMITS) -> bytes | None:
    """The beginning of the file ``name`` in the zip in ``file``, ``limit`` bytes at most; None if it is not there.

    :raises ArchiveError: the archive is damaged.
    :raises LimitError: it is larger than ``limits``.
    """
    directory = ZipDirectory(file)
    for _ in check_bounds(directory, limits):
        pass
    found = None
    for member in directory.members():
        if member.name == name:
            found = member
    if found is None:
        return None
    read = b""
    for chunk in content(file, found, directory.data_of(found)):
        read += chunk
        if len(read) >= limit:
            break
    return read[:limit]


class Counted:
    """What there is in an archive so far: ``members``, and ``size`` bytes in them."""

    def __init__(self, limits: StreamLimits) -> None:
        self.members = self.size = 0
        self._limits = limits

    def add(self, name: str, size: int, members: int = 1) -> None:
        """:raises LimitError: that is more than is taken."""
        self.members += members
        self.size += size
        if self.members > self._limits.members:
            raise LimitError(f"the archive has more than {self._limits.members} members, the limit")
        if self.size > self._limits.unpacked:
            raise LimitError(f"the archive grows beyond {self._limits.unpacked} bytes, the limit, at {name[:200]!r}")


def check_bounds(directory: ZipDirectory, limits: StreamLimits) -> Iterator[None]:
    """Counts what the archive says of itself, yielding often.

    :raises LimitError: the archive says itself that it is too large.
    :raises ArchiveError: it is damaged, or grows as no honest one does.
    """
    packed, counted = 0, Counted(limits)
    for member in directory.members():
        packed += member.packed
        counted.add(member.name, member.size)
        if not counted.members % _MEMBERS_AT_ONCE:
            yield
    size = counted.size
    if size > max(FREE_GROWTH, packed * MAX_GROWTH):
        raise ArchiveError(f"the archive grows from {packed} to {size} bytes, more than {MAX_GROWTH} times")


def extract(file: IO[bytes], member: Member, place: int, tree: Tree) -> Iterator[None]:
    """Makes ``member``, whose data begins at ``place``, in ``tree``, yielding often.

    :raises ArchiveError: it is not what it says, or cannot be made.
    """
    parts = parts_of(member.name)
    kind = stat.S_IFMT(member.mode)
    if tree.artifacts and parts[:1] == (_EVENTS,):
        return
    if member.directory:
        tree.add_directory(parts, member.mode, member.mtime_ns)
    elif kind == stat.S_IFLNK and member.size > MAX_MEMBER_NAME:
        raise ArchiveError(f"the target of the link {member.name[:200]!r} is too long")
    elif not parts:
        raise ArchiveError(f"a member of the archive has no name of its own: {member.name[:200]!r}")
    elif kind == stat.S_IFLNK:
        tree.add_link(parts, b"".join(content(file, member, place)), member.mtime_ns)
    elif kind in (0, stat.S_IFREG):
        with tree.new_file(parts, member.mode, member.mtime_ns) as fd:
            for chunk in content(file, member, place):
                write_all(fd, chunk)
                yield
    else:
        raise ArchiveError(f"the archive contains something that is not a file: {member.name[:200]!r}")
    yield


def content(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    """The data of a member.

    :raises ArchiveError: it is not what the directory says.
    """
    crc = size = 0
    for chunk in _unpacked(file, member, place):
        size += len(chunk)
        if size > member.size:
            break
        crc = deflate.crc32(chunk, crc)
        yield chunk
    if size != member.size or crc != member.crc:
        raise ArchiveError(f"the archive is damaged: {member.name[:200]!r} is not what its directory says")


def _unpacked(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    if member.method == STORED:
        yield from _packed(file, member, place)
        return
    if member.method != DEFLATED:
        raise ArchiveError(f"{member.name[:200]!r} in the archive is packed by the method {member.method}, not by 8")
    squeezed: Any = deflate.decompressobj(-15)
    try:
        for piece in _packed(file, member, place):
            rest = piece
            while rest and not squeezed.eof:
                yield squeezed.decompress(rest, _READ)
                rest = squeezed.unconsumed_tail
        if not squeezed.eof:
            yield squeezed.flush()
    except deflate.error as exc:
        raise ArchiveError(f"the archive is damaged: {member.name[:200]!r}: {exc}") from exc


def _packed(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    left = member.packed
    while left > 0:
        file.seek(place)
        data = file.read(min(_READ, left))
        if not data:
            return
        yield data
        place += len(data)
        left -= len(data)
