"""The store of a node: contents by their names, and directories, for jobs to come.

Rules: a store is a help and never a need. Each owner has a directory of his own, whose name he alone knows, so nobody
gets what another has sent. What nobody has used for longest goes first, directories before contents, and no content
goes while a worker uses the store."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..limits import STORE_SIZE
from ..system.below import DIRECTORY
from ..system.files import make_private
from ..system.mounts import IN_MEMORY, file_system_of, mount_of
from ..system.removal import remove_tree
from .kept_trees import KeptTrees, exhausted
from .owned_contents import OwnedContents
from .references import ContentCipher
from .store_count import StoreCount, room_for

__all__ = ["ContentStore", "StoreUse"]

logger = logging.getLogger(__name__)

#: The layout of the directory. Another version has another directory beside it.
_VERSION = "v1"
#: A store takes no more than this part of the room that would be free without it.
_PART_OF_DISK = 10
#: When it is full, so much of it is kept.
_KEPT = 0.9
#: So many contents are looked at before the caller has its turn.
_AT_ONCE = 500


class StoreUse(NamedTuple):
    """``used`` of at most ``limit`` bytes in ``directory``, as far as workers have counted."""

    directory: str
    used: int
    limit: int


class ContentStore:
    """The store in ``directory``, which is made. Whoever makes it closes it.

    :param size: the most that it may take, in bytes.
    :raises OSError: it cannot be made.
    """

    def __init__(self, directory: str | os.PathLike[str], size: int = STORE_SIZE) -> None:
        self._directory = os.fspath(directory)
        self._top = Path(directory) / _VERSION
        self._trees = KeptTrees(directory)
        self._count = StoreCount(self._top / "count")
        self._size = size
        self._added = 0
        self._owned: list[OwnedContents] = []
        self._most = size
        make_private(self._top)
        self._lock = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks, or a worker that makes room just now
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)

        with contextlib.suppress(OSError):
            self._most = self._limit()

    def __enter__(self) -> ContentStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """What could not be used whole is about to be sent the rest of: nothing of it goes meanwhile."""
        self.close(make_room=kind is None)

    def owned(self, owner: str, cipher: ContentCipher | None = None) -> OwnedContents:
        """What ``owner``, a name of hex digits, has there. It can be used until the store is closed.

        :param cipher: encrypts what is there.
        :raises OSError: there can be no place for it.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(owner, 0o700, dir_fd=self._lock)
        owned = OwnedContents(os.open(owner, DIRECTORY, dir_fd=self._lock), self._takes, cipher)
        self._owned.append(owned)
        return owned

    def keeps_trees_of(self, path: str) -> bool:
        """Whether a directory can be moved from ``path`` to the store, and it can be told what was touched in it. Not
        if the store was removed, nor in memory: a file there can be changed through a mapping without another ctime.
        """
        with contextlib.suppress(OSError):
            return mount_of(path) == mount_of(self._top) and file_system_of(path) not in IN_MEMORY
        return False

    def take_tree(self, owner: str, key: str, target: str) -> bool:
        """Moves a directory that a job of ``owner`` has left to ``target``, if there is one.

        :param key: of which of the owner's places it is.
        """
        size = self._trees.take(owner, key, target)
        if size:
            with contextlib.suppress(OSError):
                self._count.add(-size)
        return size is not None

    def keep_tree(self, owner: str, key: str, made: str, size: int) -> None:
        """Moves the directory ``made`` here, if there are not enough of it, and room without it or older ones."""
        with contextlib.suppress(OSError):
            self._trees.remove_leftovers()
            if not self._trees.wants(owner, key):
                return
            limit = self._limit()
            if self._count.total() + size > limit:
                self._count.set(self._taken(self._contents()))
            if self._count.total() - self._trees.use() + size > limit:
                return
            while self._count.total() + size > limit:
                freed = exhausted(self._trees.removing_oldest())
                if freed is None:
                    break
                self._count.add(-freed)
            self._count.add(self._trees.keep(owner, key, made, size))

    def _takes(self, size: int) -> bool:
        """Counts what is added. One worker adds no more than a whole store, before it makes room."""
        self._added += room_for(size)
        return self._added <= self._most

    def close(self, *, make_room: bool = True) -> None:
        """Counts what was added, and makes room if it is too much by now."""
        try:
            for _ in self.settle(make_room=make_room):
                pass
        finally:
            for owned in self._owned:
                owned.close()
            os.close(self._lock)

    def settle(self, *, make_room: bool = True) -> Iterator[None]:
        """The same, yielding often; the store can be used on."""
        added, self._added = self._added, 0
        try:
            if added and self._count.add(added) > self._limit() and make_room:
                yield from self._make_room()
        except OSError as exc:
            logger.info("the store %s cannot be looked after: %s", self._directory, exc.strerror)

    def use(self) -> StoreUse:
        """:raises OSError: it cannot be looked at."""
        return StoreUse(self._directory, self._count.total(), self._limit())

    def remove(self) -> None:
        """All that is in it goes."""
        self._trees.remove()
        remove_tree(str(self._top))

    def _limit(self) -> int:
        found = os.statvfs(self._top)
        return min(self._size, (found.f_bavail * found.f_frsize + self._count.total()) // _PART_OF_DISK)

    def _taken(self, contents: Iterable[tuple[float, int, str]]) -> int:
        """What ``contents``, which are all, their directories and the trees take, in bytes."""
        return sum(size for _, size, _ in contents) + room_for(0) * len(self._places()) + self._trees.use()

    def _make_room(self) -> Iterator[None]:
        """Removes what was not used for longest, unless a worker uses the store now. Directories go first: they can be
        made of the contents.
        """
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._trees.remove_leftovers()
            yield
            most = self._limit() * _KEPT
            found = sorted(self._contents())
            used = self._taken(found)
            while used > most and (freed := (yield from self._trees.removing_oldest())) is not None:
                used -= freed
            for number, (_, size, path) in enumerate(found):
                if used <= most:
                    break
                if not number % _AT_ONCE:
                    yield
                with contextlib.suppress(OSError):  # it stays, and the next one goes
                    os.unlink(path)
                    used -= size
            for place in reversed(self._places()):
                with contextlib.suppress(OSError):  # there is something in it
                    os.rmdir(place)
                    used -= room_for(0)
            self._count.set(used)

    def _places(self) -> list[str]:
        """The directories of contents, each behind the one above it."""
        return [place for owner in _directories(str(self._top)) for place in (owner, *_directories(owner))]

    def _contents(self) -> Iterator[tuple[float, int, str]]:
        """When each was used, what it takes, and its path; also what a worker that was killed left half written."""
        for directory in self._places():
            with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        found = entry.stat(follow_symlinks=False)
                        yield found.st_mtime, room_for(found.st_size), entry.path


def _directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
