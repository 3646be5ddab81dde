"""Removes a directory tree, whatever a job made of it.

Rules: no link is followed. Neither deep nesting nor missing permissions stop the removal: directories are made
writable and moved up until none is nested. What still cannot be removed (another user's, a mount point) stays, without
a word."""

from __future__ import annotations

import contextlib
import itertools
import os

__all__ = ["remove_tree"]


def remove_tree(path: str) -> None:
    """Removes the directory ``path`` and all below it, or the file or link of that name."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(OSError):
            os.unlink(path)
        return
    numbers = itertools.count()
    _make_writable(path)
    pending = _empty(path, path, numbers)
    while pending:
        directory = pending.pop()
        _make_writable(directory)
        pending += _empty(directory, path, numbers)
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _make_writable(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)


def _empty(directory: str, top: str, numbers: itertools.count[int]) -> list[str]:
    """Removes what is in ``directory``, except directories: those are moved to ``top``, and returned."""
    moved = []
    try:
        with os.scandir(directory) as found:
            items = list(found)
    except OSError:
        return []
    for item in items:
        with contextlib.suppress(OSError):
            if not item.is_dir(follow_symlinks=False):
                os.unlink(item.path)
            elif directory == top:
                moved.append(item.path)
            else:
                target = _free_name(top, numbers)
                _make_writable(item.path)
                os.rename(item.path, target)
                moved.append(target)
    return moved


def _free_name(top: str, numbers: itertools.count[int]) -> str:
    while True:
        name = os.path.join(top, f".{next(numbers)}")
        if not os.path.lexists(name):
            return name
