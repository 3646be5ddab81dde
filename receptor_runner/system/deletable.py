"""Which directories ``--delete`` and ``worker cleanup`` must never remove.

Rules: a directory may go only if it cannot be somebody else's. So ``/``, homes, system directories, mount points and
links never go. A directory that holds this program or its working directory never goes either."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from ..errors import UsageError
from .mounts import mount_points

__all__ = ["check_deletable", "never_deletable"]

#: A worker never deletes these, nor anything below them.
_CLOSED = ("/boot", "/dev", "/etc", "/nix", "/proc", "/snap", "/sys", "/usr")
#: What lies directly below these belongs to somebody. What lies deeper may be a worker's.
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
#: The only directory at the top that may be a worker's: the private data dir inside of a container.
_CONTAINER = "/runner"
_PACKAGE = str(Path(__file__).parents[1])


def check_deletable(path: str) -> None:
    """Refuses a directory that must never be deleted.

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
    elif any(_within(needed, real) for needed in (_cwd(), _PACKAGE)):
        reason = "this program or its working directory would go"
    elif any(_within(point, real) for point in mount_points()):
        reason = "a file system is mounted there"
    if reason:
        raise UsageError(
            f"refuses to delete {path or 'an empty path'}: {reason}",
            hint="with --delete name a directory that only this worker uses",
        )


def never_deletable() -> set[str]:
    """The directories that no pattern may match: those at the top, those directly below shared ones, homes, mount
    points.
    """
    found = {f"/{name}" for name in os.listdir("/")} | {*_CLOSED, *_SHALLOW, *_homes(), *mount_points()}
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
