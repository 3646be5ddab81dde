"""Removes a directory tree, whatever a job made of it.

Rules: everything is reached by the descriptor of the directory above it, and no link is followed, not even one that
somebody makes meanwhile. Neither deep nesting nor missing permissions stop the removal: directories are made writable
and moved up until none is nested. What still cannot be removed (another user's, a mount point) stays, without a word.
"""

from __future__ import annotations

import contextlib
import itertools
import os

from .below import DIRECTORY, make_accessible

__all__ = ["remove_tree"]


def remove_tree(path: str) -> None:
    """Removes the directory ``path`` and all below it, or the file or link of that name."""
    above, name = os.path.split(os.path.abspath(path))
    try:
        parent = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _remove(parent, name)
    finally:
        os.close(parent)


def _remove(parent: int, name: str) -> None:
    top = _opened(parent, name)
    if top < 0:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=parent)
        return
    try:
        numbers = itertools.count()
        pending = _empty(top, top, numbers)
        while pending:
            below = pending.pop()
            directory = _opened(top, below)
            if directory >= 0:
                try:
                    pending += _empty(directory, top, numbers)
                finally:
                    os.close(directory)
                with contextlib.suppress(OSError):
                    os.rmdir(below, dir_fd=top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=parent)


def _opened(parent: int, name: str) -> int:
    """The directory ``name``, made accessible; -1 if it is none, or not ours."""
    try:
        fd = os.open(name, os.O_PATH | DIRECTORY, dir_fd=parent)
    except OSError:
        return -1
    try:
        with contextlib.suppress(OSError):
            make_accessible(fd)
        return os.open(".", DIRECTORY, dir_fd=fd)
    except OSError:
        return -1
    finally:
        os.close(fd)


def _empty(directory: int, top: int, numbers: itertools.count[int]) -> list[str]:
    """Removes what is in ``directory``, except directories: those are moved to ``top``, and their names returned.
    What is mounted cannot be moved, and is not looked into.
    """
    moved = []
    try:
        with os.scandir(directory) as found:
            items = [(item.name, item.is_dir(follow_symlinks=False)) for item in found]
    except OSError:
        return []
    for name, is_directory in items:
        with contextlib.suppress(OSError):
            if is_directory:
                moved.append(_moved(directory, name, top, numbers))
            else:
                os.unlink(name, dir_fd=directory)
    return moved


def _moved(directory: int, name: str, top: int, numbers: itertools.count[int]) -> str:
    """The new name, in ``top``, of a directory. Its owner must be able to write it: it gets another parent."""
    fd = _opened(directory, name)
    if fd >= 0:
        os.close(fd)
    while True:
        free = f".{next(numbers)}"
        if not _exists(free, top):
            os.rename(name, free, src_dir_fd=directory, dst_dir_fd=top)
            return free


def _exists(name: str, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True
