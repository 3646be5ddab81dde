"""Where a worker works: a temporary directory, or one that it was given.

Rules: a temporary directory is made and removed by the guard. One that is to be deleted must not be able to be
anybody else's: never ``/``, a home or system directory, a mount point or a link. The directory is locked (flock on
the directory itself, so nothing is left in it) for as long as the worker or its guard lives: shared, or exclusive
when it will be deleted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd

from .errors import OutputError, UsageError
from .removal import remove_tree

__all__ = ["check_deletable", "clear", "lock", "make", "never_deletable"]

#: These, and all below them, are never a worker's to delete.
_CLOSED = ("/boot", "/dev", "/etc", "/nix", "/proc", "/snap", "/sys", "/usr")
#: What is directly below these belongs to somebody; what is deeper may be a worker's.
_SHALLOW = frozenset(
    {
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/run",
        "/run/user",
        "/srv",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/spool",
    }
)
#: Of all directories at the top only this may be a worker's: it is the private data dir inside of a container.
_CONTAINER = "/runner"


def check_deletable(path: str) -> None:
    """Refuses what ``--delete`` must never take.

    :raises UsageError: it might be somebody else's.
    """
    absolute = os.path.abspath(path) if path else "/"
    real = os.path.realpath(absolute)
    reason = None
    if os.path.islink(absolute):
        reason = "it is a symbolic link"
    elif _is_system(real):
        reason = "it is a system directory"
    elif os.path.exists(real) and not os.path.isdir(real):
        reason = "it is not a directory"
    elif any(_within(home, real) or (os.path.dirname(real) == home and _hidden(real)) for home in _homes()):
        reason = "a home directory, or what a user keeps in one, would go"
    elif any(_within(place, real) for place in (_cwd(), os.path.dirname(__file__))):
        reason = "this program or its working directory would go"
    elif any(_within(point, real) for point in _mount_points()):
        reason = "a file system is mounted there"
    if reason:
        raise UsageError(
            f"--delete refuses {path or 'an empty path'}: {reason}; name a directory that only this worker uses"
        )


def never_deletable() -> set[str]:
    """Directories that no pattern may match: at the top, directly below shared ones, homes, mount points."""
    found = {f"/{name}" for name in os.listdir("/")} | {*_CLOSED, *_SHALLOW, *_homes(), *_mount_points()}
    for top in (*_SHALLOW, "/usr", "/etc"):
        with contextlib.suppress(OSError):
            found.update(f"{top}/{name}" for name in os.listdir(top))
    found.discard(_CONTAINER)
    return found


def _is_system(path: str) -> bool:
    if os.path.dirname(path) == "/":
        return path != _CONTAINER
    return os.path.dirname(path) in _SHALLOW or any(_within(path, top) for top in _CLOSED)


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _hidden(path: str) -> bool:
    return os.path.basename(path).startswith(".")


def _homes() -> set[str]:
    homes = {os.path.realpath(entry.pw_dir) for entry in pwd.getpwall()}
    homes.add(os.path.realpath(os.path.expanduser("~")))
    return homes


def _mount_points() -> list[str]:
    """From /proc/self/mountinfo (proc_pid_mountinfo(5)): the fifth field, with blanks as ``\\040``."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            return [line.split(" ")[4].replace("\\040", " ") for line in mounts]
    except OSError:
        return []


def clear(path: str) -> None:
    """Empties a directory that passed :func:`check_deletable`, or makes it.

    :raises OutputError: it cannot be emptied, or a living worker uses it.
    """
    if os.path.isdir(path):
        os.close(lock(path, exclusive=True))
        remove_tree(path)
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
