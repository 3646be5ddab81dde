"""Finds what nobody has touched in a directory since it was made, and removes all other files.

Rules: a file or link is untouched if its inode and the time of its last change (ctime) are those that were noted when
it was made. No program can set that time. A directory may have been touched, if it is still of our own user and has no
attributes that what is made in it would get. Whatever is strange is an error, and then nothing of it may be used."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..system.below import DIRECTORY
from ..system.mounts import mount_points
from ..system.removal import remove_tree
from .store_count import room_for

__all__ = ["Kind", "Seen", "Untouched", "kind_of", "look_over", "seen_now"]

_SECOND_NS = 1_000_000_000
#: ``FS_IOC_GETFLAGS`` of ``linux/fs.h``, and those flags that somebody sets, not the file system.
_GETFLAGS = 0x80000000 | struct.calcsize("l") << 16 | 0x6601
_FLAGS = 0xFF | 0x4000 | 0x30000 | 0x800000 | 0x2000000 | 0x20000000 | 0x40000000


class Seen(NamedTuple):
    """Of a file: ``inode``, ``ctime_ns``, and ``contents``, what it was made of."""

    inode: int
    ctime_ns: int
    contents: str


class Kind(NamedTuple):
    """What a directory hands on to what is made in it: owner, group and file system, and attributes."""

    owner: tuple[int, int, int]
    attributes: frozenset[tuple[str, bytes]]


class Untouched:
    """``files`` (and links) that are as they were made, and all ``directories``, by their names below the top; ``size``
    is what they take of a disk, in bytes.
    """

    def __init__(self) -> None:
        self.files: dict[str, Seen] = {}
        self.directories: set[str] = set()
        self.size = 0


def seen_now(path: str, contents: str) -> Seen | None:
    """What is to be noted of a file. None: the times are so coarse here that a change could not be told, or there are
    not as many as there should be.

    :raises OSError: it is not there.
    """
    info = os.lstat(path)
    if not info.st_ctime_ns % _SECOND_NS or info.st_ctime_ns == info.st_mtime_ns:
        return None
    return Seen(info.st_ino, info.st_ctime_ns, contents)


def kind_of(directory: str) -> Kind:
    """:raises OSError: it is not there."""
    info = os.lstat(directory)
    return Kind((info.st_uid, info.st_gid, info.st_dev), frozenset(_attributes(directory)))


def look_over(
    top: str, names: Iterable[str], noted: Mapping[str, Seen], found: Untouched, kind: Kind
) -> Iterator[None]:
    """Adds to ``found`` what is below ``names`` in ``top``, yielding often. No process of the job runs any more.

    :param kind: that of directories to which nothing was done.
    :raises OSError: it cannot be looked at.
    :raises ValueError: it is strange.
    """
    real = os.path.realpath(top)
    if any(Path(point).is_relative_to(real) for point in mount_points()):
        raise ValueError("something is mounted there, and is nobody's to remove")
    pending = [name for name in names if _is_directory(top, name, noted, found)]
    while pending:
        name = pending.pop()
        path = os.path.join(top, name)
        own = kind_of(path)
        if own.owner != kind.owner or not own.attributes <= kind.attributes:
            raise ValueError(f"the directory {name} has another owner or place by now, or other attributes")
        found.directories.add(name)
        found.size += room_for(0)
        pending += _below(path, name, noted, found)
        yield


def _is_directory(top: str, name: str, noted: Mapping[str, Seen], found: Untouched) -> bool:
    """Whether ``name`` is a directory to look into. Anything else is there untouched, or removed."""
    path = os.path.join(top, name)
    with contextlib.suppress(FileNotFoundError):
        info = os.lstat(path)
        if stat.S_ISDIR(info.st_mode):
            return True
        _sort(path, name, info, noted, found)
    return False


def _below(path: str, name: str, noted: Mapping[str, Seen], found: Untouched) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            own = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield own
            else:
                _sort(entry.path, own, entry.stat(follow_symlinks=False), noted, found)


def _sort(path: str, name: str, info: os.stat_result, noted: Mapping[str, Seen], found: Untouched) -> None:
    seen = noted.get(name)
    if seen is not None and seen.inode == info.st_ino and seen.ctime_ns == info.st_ctime_ns:
        found.files[name] = seen
        found.size += room_for(info.st_size)
        return
    remove_tree(path)
    if os.path.lexists(path):
        raise ValueError(f"{name} cannot be removed")


def _attributes(path: str) -> set[tuple[str, bytes]]:
    """Extended ones, and the flags that chattr(1) sets."""
    found = set()
    with contextlib.suppress(OSError):  # this file system has none
        found = {(name, os.getxattr(path, name, follow_symlinks=False)) for name in os.listxattr(path)}
    with contextlib.suppress(OSError):
        fd = os.open(path, DIRECTORY)
        try:
            flags = int.from_bytes(fcntl.ioctl(fd, _GETFLAGS, bytes(8)), sys.byteorder) & _FLAGS
        finally:
            os.close(fd)
        found.add(("flags", flags.to_bytes(8, "big")))
    return found
