"""How a job sees the paths of this machine.

Rules: this is about text; nothing is looked up. Without pairs a job sees everything as it is."""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["CONTAINER_HOME", "PathMap"]

#: What a container calls the private data dir: execution environment images and controllers know it.
CONTAINER_HOME = "/runner"


class PathMap:
    """``pairs`` of a path of this machine and what the job calls it; the most specific one counts.

    :param own_root: whether the job has a file system of its own, where no other path is one of this machine.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = (), *, own_root: bool = False) -> None:
        self._pairs = [(os.path.normpath(outside), os.path.normpath(inside)) for outside, inside in pairs]
        self.own_root = own_root

    def inside(self, path: str | os.PathLike[str]) -> str:
        """What the job calls ``path``; the same if it cannot see it."""
        return _translated(os.fspath(path), self._pairs)

    def outside(self, path: str | os.PathLike[str]) -> str:
        """What we call the job's ``path``; the same if it is none of ours."""
        return _translated(os.fspath(path), [(inside, outside) for outside, inside in self._pairs])

    def shows(self, path: str | os.PathLike[str]) -> bool:
        """Whether the job can see our ``path``."""
        text = os.path.normpath(path)
        return not self._pairs or any(_below(text, outside) is not None for outside, _ in self._pairs)


def _translated(path: str, pairs: list[tuple[str, str]]) -> str:
    for source, target in sorted(pairs, key=lambda pair: len(pair[0]), reverse=True):
        rest = _below(path, source)
        if rest is not None:
            return target + rest
    return path


def _below(path: str, top: str) -> str | None:
    """What follows ``top`` in ``path``, from the slash on."""
    if path == top:
        return ""
    prefix = top.rstrip("/") + "/"
    return path[len(prefix) - 1 :] if path.startswith(prefix) else None
