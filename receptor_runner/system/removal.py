"""Removes a directory tree, whatever a job made of it.

Rules: everything is reached by the descriptor of the directory above it, and no link is followed, not even one that
somebody makes meanwhile. Neither deep nesting nor missing permissions stop the removal: directories are made writable
and moved up until none is nested. What is mounted there is nobody's to remove, and is neither looked into nor changed.
What cannot be removed (another user's, what holds a mount) stays, without a word.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Generator, Iterator

from .below import DIRECTORY, make_accessible
from .mounts import mount_id

__all__ = ["remove_tree", "removing"]

#: So many files go before the caller has its turn.
_AT_ONCE = 500


def remove_tree(path: str) -> None:
    """Removes the directory ``path`` and all below it, or the file or link of that name."""
    for _ in removing(path):
        pass


def removing(path: str) -> Iterator[None]:
    """The same, yielding often."""
    above, name = os.path.split(os.path.abspath(path))
    try:
        parent = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        yield from _Removal(mount_id(parent)).remove(parent, name)
    finally:
        os.close(parent)


class _Removal:
    """:param mount: by which all of it is reached."""

    def __init__(self, mount: str) -> None:
        self._mount = mount
        self._numbers = itertools.count()

    def remove(self, parent: int, name: str) -> Iterator[None]:
        top = self._opened(parent, name)
        if top < 0:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
            return
        try:
            pending = yield from self._empty(top, top)
            while pending:
                below = pending.pop()
                directory = self._opened(top, below)
                if directory >= 0:
                    try:
                        pending += yield from self._empty(directory, top)
                    finally:
                        os.close(directory)
                    with contextlib.suppress(OSError):
                        os.rmdir(below, dir_fd=top)
        finally:
            os.close(top)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=parent)

    def _opened(self, parent: int, name: str) -> int:
        """The directory ``name``, made accessible; -1 if it is none, or not ours, or something is mounted there."""
        try:
            fd = os.open(name, os.O_PATH | DIRECTORY, dir_fd=parent)
        except OSError:
            return -1
        try:
            if mount_id(fd) != self._mount:
                return -1
            with contextlib.suppress(OSError):
                make_accessible(fd)
            return os.open(".", DIRECTORY, dir_fd=fd)
        except OSError:
            return -1
        finally:
            os.close(fd)

    def _empty(self, directory: int, top: int) -> Generator[None, None, list[str]]:
        """Removes what is in ``directory``, except directories: those are moved to ``top``, and their names returned.
        What is mounted cannot be moved.
        """
        moved = []
        try:
            with os.scandir(directory) as found:
                items = [(item.name, item.is_dir(follow_symlinks=False)) for item in found]
        except OSError:
            return []
        for number, (name, is_directory) in enumerate(items):
            if not number % _AT_ONCE:
                yield
            with contextlib.suppress(OSError):
                if is_directory:
                    moved.append(self._moved(directory, name, top))
                else:
                    os.unlink(name, dir_fd=directory)
        return moved

    def _moved(self, directory: int, name: str, top: int) -> str:
        """The new name, in ``top``, of a directory. Its owner must be able to write it: it gets another parent."""
        fd = self._opened(directory, name)
        if fd >= 0:
            os.close(fd)
        while True:
            free = f".{next(self._numbers)}"
            if not _exists(free, top):
                os.rename(name, free, src_dir_fd=directory, dst_dir_fd=top)
                return free


def _exists(name: str, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True
