"""What is mounted, and which file system a path is on, by what the kernel says (proc_pid_mountinfo(5)).

Rules: what cannot be told is nothing, and no error."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["IN_MEMORY", "Mount", "file_system_of", "mount_id", "mount_of", "mount_points", "mounts", "seen_elsewhere"]

#: Blanks, tabs, ends of lines and backslashes are in octal digits there.
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_FIELDS = 6
#: File systems that no disk has. (The system may swap them out.)
IN_MEMORY = frozenset(("tmpfs", "ramfs"))


class Mount(NamedTuple):
    """``root`` of the file system of ``device`` ("8:1") is to be seen at ``point``."""

    number: str
    device: str
    root: str
    point: str
    file_system: str


def mounts(process: int | str = "self") -> Iterator[Mount]:
    """What a process sees."""
    lines: list[bytes] = []
    with contextlib.suppress(OSError), open(f"/proc/{process}/mountinfo", "rb") as file:
        lines = file.read().split(b"\n")
    for line in lines:
        words = line.split(b" ")
        if len(words) > _FIELDS and b"-" in words[_FIELDS:-1]:
            kind = words[words.index(b"-", _FIELDS) + 1]
            yield Mount(*map(_text, (words[0], words[2], words[3], words[4], kind)))


def _text(word: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes((int(found[1], 8) & 0xFF,)), word))


def mount_points() -> list[str]:
    """Where something is mounted. Empty if that cannot be told."""
    return [mount.point for mount in mounts()]


def file_system_of(path: str) -> str:
    """Its type; empty if that cannot be told. What of ``path`` does not exist counts as part of what is above it."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(os.path.abspath(path))
    with contextlib.suppress(OSError):
        number = os.stat(path).st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        return next((mount.file_system for mount in mounts() if mount.device == device), "")
    return ""


def mount_id(directory: int) -> str:
    """By which mount the open ``directory`` is reached (``mnt_id`` of proc_pid_fdinfo(5))."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{directory}", "rb") as lines:
        return "".join(line.split()[1].decode() for line in lines if line.startswith(b"mnt_id:"))
    return ""


def mount_of(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Within what the directory ``path`` can be renamed: a file system, and by which mount it is reached.

    :raises OSError: it is not there.
    """
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return os.fstat(fd).st_dev, mount_id(fd)
    finally:
        os.close(fd)


def seen_elsewhere(paths: Iterable[str]) -> bool:
    """Whether something of one of the directories ``paths`` is mounted in another place, too, for any process that may
    be looked at.

    :raises OSError: one of them is not there.
    """
    known = {mount.number: mount for mount in mounts()}
    wanted = [(own, path) for path in paths if (own := known.get(mount_of(path)[1])) is not None]
    places = [(own.device, Path(own.root) / os.path.relpath(os.path.realpath(path), own.point)) for own, path in wanted]
    return any(
        mount.device == device and Path(mount.root).is_relative_to(place)
        for process in _one_of_each_view()
        for mount in mounts(process)
        for device, place in places
    )


def _one_of_each_view() -> list[str]:
    """Processes that together see all that is mounted."""
    found: dict[str, str] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found.setdefault(os.readlink(f"/proc/{name}/ns/mnt"), name)
    return list(found.values())
