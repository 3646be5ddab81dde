"""Makes, empties and locks the directory that a worker works in.

Rules: the lock is a flock on the directory itself, so nothing is left in it. The lock is exclusive if the directory
will be deleted, and shared if not. It lasts as long as the descriptor that :func:`lock` returns, and as long as any
process that inherited it."""

from __future__ import annotations

import fcntl
import os

from ..errors import OutputError
from .removal import remove_tree

__all__ = ["clear", "lock", "locked", "make"]


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
    """Locks the directory. The lock is held until the descriptor is closed, here and in every process that inherited
    it.

    :raises OutputError: somebody holds it in a way that does not permit this.
    """
    try:
        return locked(path, exclusive=exclusive)
    except BlockingIOError as exc:
        raise OutputError(f"the private data dir {path} is in use by another worker") from exc
    except OSError as exc:
        raise OutputError(f"cannot use the private data dir {path}: {exc.strerror}") from exc


def locked(path: str | os.PathLike[str], *, exclusive: bool) -> int:
    """A descriptor of a directory that holds a lock on it, if its file system has locks.

    :raises BlockingIOError: somebody holds it in a way that does not permit this.
    :raises OSError: the directory cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    except OSError:
        pass  # there is no lock to be had
    return fd
