"""Which file system a path is on, by what the kernel says is mounted (proc(5), ``/proc/self/mountinfo``)."""

from __future__ import annotations

import os

__all__ = ["file_system_of", "has_mounts_below"]


def file_system_of(path: str) -> str:
    """Its type; empty if that cannot be told. What of ``path`` does not exist counts as part of what is above it."""
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(os.path.abspath(path))
    try:
        number = os.stat(path).st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                words = line.split()
                if words[2] == device:
                    return words[words.index("-") + 1]
    except (OSError, ValueError, IndexError):
        pass
    return ""


def has_mounts_below(path: str) -> bool:
    """Whether anything is mounted at ``path`` or below it; also if that cannot be told."""
    top = os.path.realpath(path)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            points = [line.split()[4].replace("\\040", " ") for line in mounts]
    except OSError:
        return True
    return any(point == top or point.startswith(f"{top}/") for point in points)
