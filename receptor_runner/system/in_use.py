"""Who uses a directory: processes of this machine that name it, work in it, or have something of it open.

Rules: what may not be looked at is not seen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

__all__ = ["used_by_processes"]


def used_by_processes(paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` that another process names in its arguments, works in, or has open."""
    wanted = list(paths)
    if not wanted:
        return set()
    import psutil

    known: list[str] = []
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error, OSError):
                known += process.cmdline()
            known += _places_of(process.pid)
    return {
        path for path in wanted if any(_names(text, name) for name in {path, os.path.realpath(path)} for text in known)
    }


def _places_of(pid: int) -> Iterator[str]:
    """The directory that a process works in, its root, and all that it has open, sockets too: proc(5)."""
    for name in ("cwd", "root"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{pid}/{name}")
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{name}")


def _names(text: str, path: str) -> bool:
    found = text.find(path)
    while found >= 0:
        end = found + len(path)
        if text[end : end + 1] in ("", "/", " ", ":", ",", "'", '"'):
            return True
        found = text.find(path, end)
    return False
