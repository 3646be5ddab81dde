"""The directory of a job, made of what an earlier job of the same place has left untouched, and of what is new.

Rules: it is there for the next job only if all went well, and nobody uses it any more, as far as can be seen. What is
strange about it means that the next job makes its own. Nothing that was sealed, and nothing that belongs to no store,
is ever in it. What may take long yields often."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence

from ..archive.tree import Tree, parts_of
from ..errors import OutputError, ReceptorRunnerError
from ..system.below import DIRECTORY, make_accessible
from ..system.in_use import used_by_processes
from ..system.mounts import mount_id, seen_elsewhere
from ..system.removal import remove_tree, removing
from .content_store import ContentStore
from .manifest import TreeEntry
from .reading import KEPT
from .references import Reference
from .store_count import room_for
from .tree_record import MOST_CONTENTS, MOST_FILES, ListedPiece, TreeRecord
from .untouched import Seen, Untouched, kind_of, look_over, seen_now

__all__ = ["WorkTree"]

logger = logging.getLogger(__name__)

#: The clock that files get their times from is at least that exact.
_TICK_SECONDS = 0.02
#: So many names are looked at before the caller has its turn.
_AT_ONCE = 500
#: What may be wrong with the directory of an earlier job.
_STRANGE = (OSError, ValueError, TypeError, KeyError, ReceptorRunnerError)


class WorkTree:
    """What is of ``project``, ``roles`` and ``inventory`` in ``target``, where nothing of it is yet, and which goes
    with the job.

    :param store: has what earlier jobs have left.
    :param owner: whose job it is, and ``key``, of which of his places: 32 hex digits each.
    """

    def __init__(self, store: ContentStore, target: str, owner: str, key: str) -> None:
        self._store = store
        self._target = target
        self._identity = _identity(target)
        #: As it is before a job has seen it.
        self._kind = kind_of(target)
        self._owner = owner
        self._key = key
        self._old = Untouched()
        self._old_pieces: dict[str, ListedPiece] = {}
        #: Of this job, as far as all of it can be noted.
        self._pieces: list[ListedPiece] = []
        self._contents = 0
        #: Old directories in whose place is something else now.
        self._gone: set[str] = set()
        self._noted: dict[str, Seen] = {}
        #: What is made anew, and of what.
        self._made: dict[str, str] = {}
        self._directories: dict[str, TreeEntry] = {}
        #: Whether it can be for another job, whether it is whole, and whether a file is listed twice.
        self._is_wanted = self._is_good = self._has_twice = False

    def begin(self) -> Iterator[None]:
        """Begins with what an earlier job has left, if there is something, and nothing is in its place."""
        aside = self._aside()
        self._is_wanted = self._store.keeps_trees_of(self._target) and not any(
            os.path.lexists(self._path(top)) for top in KEPT
        )
        if not self._is_wanted or not self._store.take_tree(self._owner, self._key, aside):
            return
        found = Untouched()
        try:
            record = TreeRecord.read(aside)
            yield from look_over(aside, KEPT, record.files, found, self._kind)
            self._move(aside, self._target)
            self._old, self._old_pieces = found, record.pieces
        except _STRANGE as exc:
            logger.info("the directory of an earlier job is not used: %s", exc)
        yield from removing(aside)

    def _move(self, source: str, target: str) -> None:
        """All of it or nothing.

        :raises OSError: it cannot be moved.
        """
        moved: list[str] = []
        try:
            for top in KEPT:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(os.path.join(source, top), os.path.join(target, top))
                    moved.append(top)
        except OSError:
            for top in moved:
                os.rename(os.path.join(target, top), os.path.join(source, top))
            raise

    def piece(self, reference: Reference, sent: frozenset[str]) -> ListedPiece | None:
        """What a piece of the list of files names, if all of that is there, and nothing is to be done. If not,
        :meth:`has` is to be asked of each entry of it.

        :param sent: the contents that came, in hex: what they are in is to be made anew.
        """
        piece = self._old_pieces.get(reference.digest.hex()) if not self._gone else None
        if piece is None or piece.names_any(sent) or not piece.is_in(self._old.files, self._old.directories):
            return None
        for name in piece.files:
            self._noted[name] = self._old.files.pop(name)
        self._directories.update((name, TreeEntry(name, mode, ns)) for name, mode, ns in piece.directories)
        self._pieces.append(piece)
        return piece

    def has_listed(self, reference: Reference, entries: Sequence[TreeEntry]) -> None:
        """All ``entries`` of the piece ``reference`` were asked for by :meth:`has`."""
        self._contents += sum(len(one.references) for one in entries)
        if self._is_wanted and len(self._made) < MOST_FILES and self._contents < MOST_CONTENTS:
            self._pieces.append(ListedPiece.of(reference, entries))

    def has(self, entry: TreeEntry, *, anew: bool = False) -> bool:
        """Whether it is there, and nothing is to be done. If not, nothing else is in its place then.

        :param anew: a file is to be made in any case.
        """
        if not self._is_wanted:
            return False
        name = entry.name
        self._has_twice = self._has_twice or name in self._made or name in self._noted
        is_old_directory = name in self._old.directories and not self._is_gone(name)
        seen = self._old.files.pop(name, None)
        if seen is not None and self._is_gone(name):
            seen = None
        if stat.S_ISDIR(entry.mode):
            self._directories[name] = entry
            if seen is not None:
                self._remove(name)
            return is_old_directory
        contents = _contents(entry)
        if seen is not None and seen.contents == contents and not anew:
            self._noted[name] = seen
            return True
        if seen is not None or is_old_directory:
            self._remove(name)
        if is_old_directory:
            self._gone.add(name)
        if len(self._made) < MOST_FILES:
            self._made[name] = contents
        return False

    def _is_gone(self, name: str) -> bool:
        """Whether it, or a directory above it, is something else by now."""
        while name and self._gone:
            if name in self._gone:
                return True
            name = name.rpartition("/")[0]
        return False

    def finish(self, tree: Tree, *, is_whole: bool) -> Iterator[None]:
        """Everything is made. What nobody wants any more goes, and directories are as they are to be.

        :param is_whole: whether it is known of everything whether it is wanted.
        """
        if is_whole:
            yield from self._remove_unwanted()
            for name in self._unlisted():  # there is something wanted in them
                tree.add_directory(parts_of(name), self._usual_mode(), time.time_ns(), old=True)
        else:
            self._noted.update(item for item in self._old.files.items() if not self._is_gone(item[0]))
        for number, name in enumerate(self._old.directories & self._directories.keys()):
            if not number % _AT_ONCE:
                yield
            entry = self._directories[name]
            with contextlib.suppress(OSError):
                info = os.lstat(self._path(name))
                if stat.S_IMODE(info.st_mode) != entry.mode & 0o777 or info.st_mtime_ns != entry.mtime_ns:
                    tree.add_directory(parts_of(name), entry.mode, entry.mtime_ns, old=True)

    def _remove_unwanted(self) -> Iterator[None]:
        for number, (name, seen) in enumerate(self._old.files.items()):
            if not number % _AT_ONCE:
                yield
            with contextlib.suppress(OSError):
                if not self._is_gone(name) and seen_now(self._path(name), seen.contents) == seen:
                    self._remove(name)
        for number, name in enumerate(self._unlisted()):
            if not number % _AT_ONCE:
                yield
            _remove(self._path(name), os.rmdir)

    def _unlisted(self) -> list[str]:
        """Old directories that the list of files does not name, the deepest first."""
        unlisted = sorted(self._old.directories - self._directories.keys(), reverse=True)
        return [name for name in unlisted if not self._is_gone(name) and os.path.isdir(self._path(name))]

    def _usual_mode(self) -> int:
        """What a directory gets if nobody says what."""
        aside = self._aside()
        os.mkdir(aside, 0o755)
        try:
            return stat.S_IMODE(os.lstat(aside).st_mode)
        finally:
            os.rmdir(aside)

    def note(self) -> Iterator[None]:
        """Notes what was made, before anybody can touch it."""
        if self._made:
            time.sleep(_TICK_SECONDS)  # what is touched from now on has another time
        for number, (name, contents) in enumerate(self._made.items()):
            if not number % _AT_ONCE:
                yield
            with contextlib.suppress(OSError):
                seen = seen_now(self._path(name), contents)
                if seen is not None:
                    self._noted[name] = seen
        self._made = {}
        self._is_good = self._is_wanted and not self._has_twice

    def give_back(self, open_store: Callable[[], ContentStore | None]) -> None:
        """The job is over: what it has not touched is for the next one. All else goes."""
        if not self._is_good or not self._noted:
            return
        with contextlib.suppress(Exception):  # whoever made the target removes it, and all that is in it
            store = open_store()
            if store is not None:
                with store:
                    self._give_back(store)

    def _is_free(self) -> bool:
        """Whether it is what it was, and nobody else uses it.

        :raises OSError: it is not there.
        """
        tops = [path for path in map(self._path, KEPT) if os.path.isdir(path)]
        return _identity(self._target) == self._identity and not used_by_processes(tops) and not seen_elsewhere(tops)

    def _give_back(self, store: ContentStore) -> None:
        if not self._is_free():
            return
        aside = self._aside()
        os.mkdir(aside, 0o700)
        self._move(self._target, aside)
        found = Untouched()
        for _ in look_over(aside, KEPT, self._noted, found, self._kind):
            pass
        if not found.files:
            return
        for name in sorted(found.directories - self._directories.keys(), reverse=True):
            _remove(os.path.join(aside, name), os.rmdir)  # one that is wanted, perhaps, if it is not known what is
        size = room_for(TreeRecord.write(aside, found, self._pieces))
        store.keep_tree(self._owner, self._key, aside, found.size + size)

    def _path(self, name: str) -> str:
        return os.path.join(self._target, name)

    def _aside(self) -> str:
        return self._path(f".receptor-runner-{secrets.token_hex(8)}")

    def _remove(self, name: str) -> None:
        """:raises OutputError: it stays."""
        path = self._path(name)
        _remove(path, remove_tree)
        if os.path.lexists(path):
            raise OutputError(f"cannot remove {name}, which an earlier job has left")


def _remove(path: str, remove: Callable[[str], None]) -> None:
    """Also from a directory that its owner cannot write. What cannot be removed stays."""
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


def _identity(directory: str) -> tuple[int, int, str]:
    """What it is, and by which mount it is reached; the end of its path is no link.

    :raises OSError: it is not there.
    """
    fd = os.open(directory, os.O_PATH | DIRECTORY)
    try:
        info = os.fstat(fd)
        return info.st_dev, info.st_ino, mount_id(fd)
    finally:
        os.close(fd)


def _contents(entry: TreeEntry) -> str:
    """All that its manifest says of a file or link."""
    digests = b"".join(one.digest for one in entry.references)
    text = entry.target if stat.S_ISLNK(entry.mode) else digests
    told = text.hex() if len(text) <= 32 else hashlib.sha256(text).hexdigest()
    return f"{entry.mode} {entry.mtime_ns} {told}"
