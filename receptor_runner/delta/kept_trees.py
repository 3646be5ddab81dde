"""The directories of jobs that ended, kept for the next job of the same place.

Rules: a directory is taken by one rename and given back by one, so nobody else has it meanwhile, and it is whole or not
there. It stays on its file system: what would have to be copied is not kept. What goes wrong means that there is none.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Generator
from pathlib import Path

from ..system.files import make_private
from ..system.removal import remove_tree, removing

__all__ = ["KeptTrees", "exhausted"]

#: The layout of the directory. Another version has another directory beside it.
_VERSION = "trees-v1"
#: Which job's it is, its size in bytes, and a number.
_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,19})-[0-9a-f]{16}")
#: What is called so is on its way out.
_REMOVED = ".removed"
#: So many jobs of one place at once find a directory.
_MOST_OF_ONE = 2
#: So many are kept of one owner: places may be of one job alone.
_MOST_OF_OWNER = 32


class KeptTrees:
    """Those of the store in ``directory``."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._top = Path(directory) / _VERSION

    def take(self, owner: str, key: str, target: str) -> int | None:
        """Moves one to ``target``, which does not exist. Its size in bytes; None if there is none.

        :param key: which of the owner's it is to be, in 32 hex digits.
        """
        for path in self._of(owner, key):
            try:
                os.rename(path, target)
            except FileNotFoundError:
                continue  # another worker was faster
            except OSError:
                return None
            return _size(path.name)
        return None

    def keep(self, owner: str, key: str, made: str, size: int) -> int:
        """Moves the directory ``made`` here, which :meth:`wants` wanted. How many bytes more there are now.

        :raises OSError: it cannot be moved.
        """
        own = _named(self._top / owner)
        freed = 0
        if len(own) >= _MOST_OF_OWNER:
            freed = exhausted(_removing_oldest(own)) or 0
        make_private(self._top / owner)
        os.utime(made)
        os.rename(made, self._top / owner / f"{key}-{size}-{secrets.token_hex(8)}")
        return size - freed

    def wants(self, owner: str, key: str) -> bool:
        """Whether there are not enough of it."""
        return len(self._of(owner, key)) < _MOST_OF_ONE

    def use(self) -> int:
        """How many bytes they take, with what is on its way out."""
        paths = [path for owner in _paths_in(self._top) for path in _paths_in(owner)]
        return sum(_size(path.name.removesuffix(_REMOVED)) for path in paths)

    def removing_oldest(self) -> Generator[None, None, int | None]:
        """Removes what was not used for longest, yielding often; its size. None: there is none."""
        return _removing_oldest(self._all())

    def remove_leftovers(self) -> None:
        """What a worker that was killed had begun to remove."""
        for owner in _paths_in(self._top):
            for path in _paths_in(owner):
                if path.name.endswith(_REMOVED):
                    remove_tree(str(path))

    def remove(self) -> None:
        """All of them go."""
        remove_tree(str(self._top))

    def _of(self, owner: str, key: str) -> list[Path]:
        return [path for path in _named(self._top / owner) if path.name.startswith(key)]

    def _all(self) -> list[Path]:
        return [path for owner in _paths_in(self._top) for path in _named(owner)]


def _named(directory: Path) -> list[Path]:
    return [path for path in _paths_in(directory) if _NAME.fullmatch(path.name)]


def _paths_in(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []


def exhausted(steps: Generator[None, None, int | None]) -> int | None:
    """What comes of ``steps``, without a turn for anybody."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: int | None = end.value
            return found


def _removing_oldest(paths: list[Path]) -> Generator[None, None, int | None]:
    """One of ``paths``. It is moved first: a job that took it just now keeps it."""
    for _, oldest in sorted((_age(path), path) for path in paths):
        with contextlib.suppress(OSError):
            removed = oldest.rename(oldest.with_name(oldest.name + _REMOVED))
            yield from removing(str(removed))
            return _size(oldest.name)
    return None


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0  # a job has it by now


def _size(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[2]) if found else 0
