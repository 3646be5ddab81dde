"""Who uses a directory: processes of this machine that name it, work in it, or have something of it open or mapped,
and sockets.

Rules: what may not be looked at is not seen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

__all__ = ["used_by_processes"]

#: Columns before the path in ``/proc/net/unix``.
_BEFORE_PATH = 7


def used_by_processes(paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` that another process names in its arguments or its environment, works in, or has open or
    mapped, and those with a socket that somebody has.
    """
    wanted = list(paths)
    if not wanted:
        return set()
    import psutil

    known = list(_sockets())
    for process in psutil.process_iter():
        if process.pid != os.getpid():
            with contextlib.suppress(psutil.Error, OSError):
                known += process.cmdline()
            with contextlib.suppress(psutil.Error, OSError):
                known += process.environ().values()
            known += _places_of(process.pid)
    return {
        path for path in wanted if any(_names(text, name) for name in {path, os.path.realpath(path)} for text in known)
    }


def _sockets() -> Iterator[str]:
    with contextlib.suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            words = line.rstrip("\n").split(maxsplit=_BEFORE_PATH)
            if len(words) > _BEFORE_PATH:
                yield words[_BEFORE_PATH]


def _places_of(pid: int) -> Iterator[str]:
    """The directory that a process works in, its root, and all that it has open or mapped: proc(5)."""
    for name in ("cwd", "root"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{pid}/{name}")
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as lines:
        mapped = (line.split(maxsplit=5) for line in lines)
        yield from {words[5].rstrip("\n") for words in mapped if len(words) > 5 and words[5].startswith("/")}
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
