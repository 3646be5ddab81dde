"""What is mounted, and which file system a path is on, by what the kernel says (proc(5), ``/proc/self/mountinfo``).

Rules: what cannot be told is nothing, and no error."""

from __future__ import annotations

import contextlib
import os
import re

__all__ = ["file_system_of", "mount_of", "mount_points"]

_MOUNTS = "/proc/self/mountinfo"
#: Blanks, tabs, ends of lines and backslashes are in octal digits there.
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system_of(path: str) -> str:
    """Its type; empty if that cannot be told. What of ``path`` does not exist counts as part of what is above it."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(os.path.abspath(path))
    try:
        number = os.stat(path).st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        with open(_MOUNTS, encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                words = line.split()
                if words[2] == device:
                    return words[words.index("-") + 1]
    except (OSError, ValueError, IndexError):
        pass
    return ""


def mount_of(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Within what the directory ``path`` can be renamed: a file system, and where that is mounted, which is empty if it
    cannot be told (``mnt_id`` of ``/proc/self/fdinfo``).

    :raises OSError: it is not there.
    """
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        number = ""
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
            number = "".join(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        return os.fstat(fd).st_dev, number
    finally:
        os.close(fd)


def mount_points() -> list[str]:
    """Where something is mounted. Empty if that cannot be told.

    The fifth field of each line (proc_pid_mountinfo(5)).
    """
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
            return [_ESCAPED.sub(_unescaped, line.split(" ")[4]) for line in mounts]
    except OSError:
        return []


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))
