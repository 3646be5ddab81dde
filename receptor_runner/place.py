"""Where a worker works: a temporary directory, or one that it was given.

Rules: a temporary directory is made and removed by the guard. One that is to be deleted must not be able to be
anybody else's: never ``/``, a home or system directory, a mount point or a link. The directory is locked (flock on
the directory itself, so nothing is left in it) for as long as the worker or its guard lives: shared, or exclusive
when it will be deleted."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
from pathlib import Path

from .errors import OutputError, UsageError

__all__ = ["check_deletable", "clear", "lock", "make"]

_SYSTEM = frozenset({"/", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var"})
#: These, and all below them, are never a worker's to delete.
_CLOSED = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr")
#: What is directly below these belongs to somebody; what is deeper may be a worker's.
_SHALLOW = ("/var", "/home", "/run")


def check_deletable(path: str) -> None:
    """Refuses what ``--delete`` must never take.

    :raises UsageError: it might be somebody else's.
    """
    absolute = os.path.abspath(path)
    real = os.path.realpath(absolute)
    reason = None
    if os.path.islink(absolute):
        reason = "it is a symbolic link"
    elif real in _SYSTEM or _below(real, _CLOSED) or str(Path(real).parent) in _SHALLOW:
        reason = "it is a system directory"
    elif real in _homes():
        reason = "it is a home directory"
    elif os.path.ismount(real):
        reason = "it is a mount point"
    elif os.path.exists(real) and not os.path.isdir(real):
        reason = "it is not a directory"
    if reason:
        raise UsageError(f"--delete refuses {path}: {reason}; name a directory that only this worker uses")


def _below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(top + "/") for top in tops)


def _homes() -> set[str]:
    homes = {os.path.realpath(entry.pw_dir) for entry in pwd.getpwall()}
    homes.add(os.path.realpath(os.path.expanduser("~")))
    return homes


def clear(path: str) -> None:
    """Empties a directory that passed :func:`check_deletable`, or makes it.

    :raises OutputError: it cannot be emptied, or a living worker uses it.
    """
    if os.path.isdir(path):
        os.close(lock(path, exclusive=True))
        shutil.rmtree(path, ignore_errors=True)
    make(path)


def make(path: str) -> None:
    """:raises OutputError: there can be no such directory."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as exc:
        raise OutputError(f"cannot make the private data dir {path}: {exc.strerror}") from exc


def lock(path: str, *, exclusive: bool) -> int:
    """A descriptor that holds the lock until it is closed, here and wherever it was inherited.

    :raises OutputError: somebody holds it in a way that does not permit this.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise OutputError(f"cannot use the private data dir {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(fd)
        raise OutputError(f"the private data dir {path} is in use by another worker") from exc
    except OSError:
        return fd  # a file system without locks: there is nothing to be had
    return fd
