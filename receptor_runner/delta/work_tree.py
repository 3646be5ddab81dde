"""The directory of a job, made of what an earlier job of the same place has left untouched, and of what is new.

Rules: it is there for the next job only if no process of this one runs any more. What is strange about it means that
the next job makes its own. Nothing that was sealed, and nothing that belongs to no store, is ever in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable

from ..archive.tree import Tree, parts_of
from ..errors import ReceptorRunnerError
from ..stream.bounded_json import parse_json
from ..system.below import DIRECTORY, make_accessible, read_regular
from ..system.removal import remove_tree
from .content_store import ContentStore
from .manifest import TreeEntry
from .reading import KEPT
from .untouched import Seen, Untouched, seen_now, untouched

__all__ = ["WorkTree"]

logger = logging.getLogger(__name__)

#: Beside what was made: a list of name, inode, ctime and contents.
_RECORD = "record"
_LONGEST_RECORD = 128 * 1024 * 1024
#: So many are noted; the rest is made anew each time. All these names are in memory while the job runs.
_MOST_FILES = 200_000
#: The clock that files get their times from is at least that exact.
_TICK_SECONDS = 0.02
#: What may be wrong with the directory of an earlier job.
_STRANGE = (OSError, ValueError, TypeError, ReceptorRunnerError)


class WorkTree:
    """What is of ``project``, ``roles`` and ``inventory`` in ``target``, where nothing of it is yet.

    :param store: has what earlier jobs have left. It is asked for again in the end.
    :param owner: whose job it is, and ``key``, of which of his places: 32 hex digits each.
    """

    def __init__(self, store: ContentStore, target: str, owner: str, key: str) -> None:
        self._target = target
        self._owner = owner
        self._key = key
        self._size = 0
        self._old = Untouched({}, set())
        self._noted: dict[str, Seen] = {}
        #: What is made anew, and of what.
        self._made: dict[str, str] = {}
        self._directories: dict[str, TreeEntry] = {}
        aside = self._aside()
        if store.take_tree(owner, key, aside):
            try:
                self._take(aside)
            except _STRANGE as exc:
                logger.info("the directory of an earlier job is not used: %s", exc)
                self._old = Untouched({}, set())
                for top in KEPT:
                    remove_tree(self._path(top))
            remove_tree(aside)

    @staticmethod
    def is_possible(store: ContentStore, target: str) -> bool:
        """Whether it can be moved from there and back, and nothing is in its place."""
        return store.is_beside(target) and not any(os.path.lexists(os.path.join(target, top)) for top in KEPT)

    def _take(self, aside: str) -> None:
        record = parse_json(read_regular(os.path.join(aside, _RECORD), _LONGEST_RECORD))
        self._old = untouched(aside, KEPT, {name: Seen(*seen) for name, *seen in record})
        for top in KEPT:
            with contextlib.suppress(FileNotFoundError):
                os.rename(os.path.join(aside, top), self._path(top))

    def has(self, entry: TreeEntry, *, anew: bool = False) -> bool:
        """Whether it is there, and nothing is to be done. If not, nothing else is in its place then.

        :param anew: a file is to be made in any case.
        """
        self._size += entry.size
        name = entry.name
        if stat.S_ISDIR(entry.mode):
            self._directories[name] = entry
            if name in self._old.directories:
                return True
            if self._old.files.pop(name, None) is not None:
                self._remove(name)
            return False
        contents = _contents(entry)
        seen = self._old.files.pop(name, None)
        if seen is not None and seen.contents == contents and not anew:
            self._noted[name] = seen
            return True
        if seen is not None or name in self._old.directories:
            self._remove(name)
            self._forget_below(name)
        if len(self._made) < _MOST_FILES:
            self._made[name] = contents
        return False

    def _forget_below(self, name: str) -> None:
        """A directory went, for something else."""
        if name in self._old.directories:
            below = f"{name}/"
            files = {other: seen for other, seen in self._old.files.items() if not other.startswith(below)}
            directories = {other for other in self._old.directories if not f"{other}/".startswith(below)}
            self._old = Untouched(files, directories)

    def finish(self, tree: Tree, *, is_whole: bool) -> None:
        """Everything is made. What nobody wants any more goes, and directories are as they are to be.

        :param is_whole: whether it is known of everything whether it is wanted.
        """
        if is_whole:
            for name, seen in self._old.files.items():
                with contextlib.suppress(OSError):
                    if seen_now(self._path(name), seen.contents) == seen:
                        self._remove(name)
            for name in sorted(self._old.directories - self._directories.keys(), reverse=True):
                self._remove(name, os.rmdir)
        else:
            self._noted.update(self._old.files)
        for name in self._old.directories & self._directories.keys():
            entry = self._directories[name]
            with contextlib.suppress(OSError):
                info = os.lstat(self._path(name))
                if stat.S_IMODE(info.st_mode) != entry.mode & 0o7777 or info.st_mtime_ns != entry.mtime_ns:
                    tree.add_directory(parts_of(name), entry.mode, entry.mtime_ns, old=True)

    def note(self) -> None:
        """Notes what was made, before anybody can touch it."""
        if self._made:
            time.sleep(_TICK_SECONDS)  # what is touched from now on has another time
        for name, contents in self._made.items():
            with contextlib.suppress(OSError):
                seen = seen_now(self._path(name), contents)
                if seen is not None:
                    self._noted[name] = seen
        self._made = {}

    def give_back(self, open_store: Callable[[], ContentStore | None]) -> None:
        """The job is over: what it has not touched is for the next one. All else goes."""
        store = open_store() if self._noted else None
        if store is None:
            return
        aside = self._aside()
        with store, contextlib.suppress(*_STRANGE):  # whoever made the target removes it, and all that is in it
            os.mkdir(aside, 0o700)
            for top in KEPT:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self._path(top), os.path.join(aside, top))
            left = untouched(aside, KEPT, self._noted).files
            with open(os.path.join(aside, _RECORD), "x", encoding="ascii") as file:
                json.dump([(name, *seen) for name, seen in left.items()], file)
            store.keep_tree(self._owner, self._key, aside, self._size)

    def _path(self, name: str) -> str:
        return os.path.join(self._target, name)

    def _aside(self) -> str:
        return self._path(f".receptor-runner-{secrets.token_hex(8)}")

    def _remove(self, name: str, remove: Callable[[str], None] = remove_tree) -> None:
        """Also from a directory that its owner cannot write."""
        path = self._path(name)
        with contextlib.suppress(OSError):
            remove(path)
        if os.path.lexists(path):
            with contextlib.suppress(OSError):
                above = os.open(os.path.dirname(path), os.O_PATH | DIRECTORY)
                try:
                    make_accessible(above)
                finally:
                    os.close(above)
                remove(path)


def _contents(entry: TreeEntry) -> str:
    """All that its manifest says of a file or link."""
    digests = b"".join(one.digest for one in entry.references)
    text = entry.target if stat.S_ISLNK(entry.mode) else digests
    told = text.hex() if len(text) <= 32 else hashlib.sha256(text).hexdigest()
    return f"{entry.mode} {entry.mtime_ns} {told}"
