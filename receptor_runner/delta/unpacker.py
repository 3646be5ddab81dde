"""Makes the directory of a job from a delta archive and the store of this node.

Rules: a content that came is believed if its digest agrees, and one from the store if its CRC-32 does. What came is
kept also if the job cannot be made, so the sender need not send it again. Files are copies, which may share blocks:
what a job does to them never reaches the store. The archive is a stranger's, as any is."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import IO

from ..archive.directory import Member, ZipDirectory
from ..archive.tree import NEW_FILE, Tree, parts_of, write_all, writing
from ..archive.unpack import Counted, check_bounds, content, extract, placed_members
from ..errors import ArchiveError
from ..limits import MAX_PIECE, StreamLimits
from .lacking import LackingError
from .manifest import BLOB, MANIFEST, TreeEntry, read_piece, read_root
from .owned_contents import OwnedContents
from .reading import is_kept
from .references import DIGEST_BYTES, Digester, Reference
from .work_tree import WorkTree

__all__ = ["unpack_delta"]

#: So many files are copied before the caller has its turn.
_BATCH = 32
#: So many entries are looked at.
_AT_ONCE = 1000
_NO_NAMES = ("", ".", "..")


def unpack_delta(
    file: IO[bytes],
    target: str,
    limits: StreamLimits,
    digester: Digester,
    store: OwnedContents | None,
    old: WorkTree | None = None,
) -> Iterator[None]:
    """Extracts the archive in ``file`` below the existing directory ``target``, yielding often.

    :param old: begins with what an earlier job has left, when what belongs to no store is there.
    :raises LackingError: something is missing.
    :raises ArchiveError: the archive is damaged or hostile.
    :raises OutputError: the target cannot be written.
    """
    directory = ZipDirectory(file)
    yield from check_bounds(directory, limits)
    with writing(target), Tree(target, False, limits.members) as tree:
        contents = _Contents(file, digester, store)
        for member, place in placed_members(directory):
            if member.name.startswith(BLOB):
                contents.add(member, place)
            else:
                yield from extract(file, member, place, tree)
        if old is not None:
            yield from old.begin()
        yield from _made(tree, contents, limits, old)


def _made(tree: Tree, contents: _Contents, limits: StreamLimits, old: WorkTree | None) -> Iterator[None]:
    """:raises LackingError: something is missing. All the rest is made, for the next time."""
    lacking: LackingError | None = None
    try:
        yield from _Maker(tree, contents, limits, old).make()
    except LackingError as exc:
        lacking = exc
    if old is not None:
        yield from old.finish(tree, is_whole=lacking is None)
    yield from tree.finish()
    if old is not None:
        yield from old.note()
    if lacking is not None:
        raise lacking


class _Contents:
    """Contents, from the archive or from the store."""

    def __init__(self, file: IO[bytes], digester: Digester, store: OwnedContents | None) -> None:
        self._file = file
        self._digester = digester
        self._store = store
        self._sent: dict[bytes, tuple[Member, int]] = {}
        self._root: tuple[Member, int] | None = None

    def add(self, member: Member, place: int) -> None:
        """:raises ArchiveError: it has no name of a content, or is larger than one."""
        if member.name == MANIFEST and member.size <= MAX_PIECE:
            self._root = member, place
            return
        try:
            digest = bytes.fromhex(member.name.removeprefix(BLOB))
        except ValueError:
            digest = b""
        if len(digest) != DIGEST_BYTES or member.size > MAX_PIECE:
            raise ArchiveError(f"a member of the archive has an absolute name: {member.name[:200]!r}")
        self._sent[digest] = member, place

    def pieces(self) -> list[Reference]:
        """:raises ArchiveError: there is no manifest."""
        if self._root is None:
            raise ArchiveError("the archive has no manifest")
        pieces = read_root(b"".join(content(self._file, *self._root)))
        if len({one.digest for one in pieces}) < len(pieces):
            raise ArchiveError("the manifest of the archive has the same part twice")
        return pieces

    def was_sent(self, reference: Reference) -> bool:
        """Whether it is in the archive."""
        return reference.digest in self._sent

    @functools.cached_property
    def sent(self) -> frozenset[str]:
        """The digests of what is in the archive, in hex. All are known when the first is asked for."""
        return frozenset(digest.hex() for digest in self._sent)

    def is_kept(self, reference: Reference) -> bool:
        """Whether it is in the store, and was not sent."""
        return self._store is not None and not self.was_sent(reference) and self._store.note_use(reference)

    def get(self, reference: Reference) -> bytes | None:
        """The content; None if it is missing.

        :raises ArchiveError: what was sent is something else.
        """
        sent = self._sent.get(reference.digest)
        if sent is None:
            return self._store.get(reference) if self._store is not None else None
        data = b"".join(content(self._file, *sent))
        if not self._digester.agrees(reference, data):
            raise ArchiveError(f"the archive is damaged: {reference.digest.hex()} is not what its digest says")
        if self._store is not None:
            self._store.put(reference, data)
        return data

    def copy(self, reference: Reference, target: int) -> bool:
        """Writes what was not sent into the empty file ``target``; false if it is missing."""
        return self._store is not None and self._store.copy(reference, target)


class _NotWholeError(Exception):
    """A file lacks something."""


class _Maker:
    """Makes what the manifest lists. A file all of whose contents are in the store is copied in the shortest way, so
    many of one directory at once.
    """

    def __init__(self, tree: Tree, contents: _Contents, limits: StreamLimits, old: WorkTree | None) -> None:
        self._tree = tree
        self._old = old
        self._contents = contents
        self._counted = Counted(limits)
        self._parent: tuple[str, ...] = ()
        self._parent_name = ""
        self._batch: list[TreeEntry] = []
        self._lacking: dict[bytes, None] = {}

    def make(self) -> Iterator[None]:
        """:raises LackingError: something is missing; all the rest is made.
        :raises LimitError: there is more than is taken.
        :raises ArchiveError: there is what may not be in a manifest.
        """
        known = True
        for reference in self._contents.pieces():
            yield
            if self._is_whole(reference):
                continue
            piece = self._contents.get(reference)
            if piece is None:
                known = False
            else:
                entries = list(read_piece(piece))
                yield from self._make_all(entries)
                if self._old is not None:
                    self._old.has_listed(reference, entries)
        yield from self._copy_batch()
        if not known or self._lacking:
            raise LackingError(tuple(self._lacking) if known else ())

    def _is_whole(self, reference: Reference) -> bool:
        """Whether an earlier job has left all that a piece of the manifest lists. Nobody has to read it then."""
        if self._old is None or not self._contents.is_kept(reference):
            return False
        piece = self._old.piece(reference, self._contents.sent)
        if piece is not None:
            self._counted.add(next(iter(piece.files), "a directory"), piece.size, piece.members)
        return piece is not None

    def _make_all(self, entries: Iterable[TreeEntry]) -> Iterator[None]:
        for entry in entries:
            self._counted.add(entry.name, entry.size)
            if not is_kept(entry.name):
                raise ArchiveError(f"the manifest of the archive has what belongs to no store: {entry.name[:200]!r}")
            if _is_odd(entry.name):
                raise ArchiveError(f"the manifest of the archive has a name that is not plain: {entry.name[:200]!r}")
            if not self._counted.members % _AT_ONCE:
                yield
            if self._is_there(entry):
                continue
            if self._is_of_batch(entry):
                self._batch.append(entry)
            else:
                yield from self._make(entry)

    def _is_there(self, entry: TreeEntry) -> bool:
        """Whether an earlier job has left it. What was sent is made of that, and so gets into the store."""
        if self._old is None:
            return False
        return self._old.has(entry, anew=any(map(self._contents.was_sent, entry.references)))

    def _is_of_batch(self, entry: TreeEntry) -> bool:
        """Whether it is one more file of the directory of those that are to be copied. There are many."""
        parent, _, own = entry.name.rpartition("/")
        return (
            0 < len(self._batch) < _BATCH
            and parent == self._parent_name
            and len(entry.references) == 1
            and own not in _NO_NAMES
            and "\0" not in own
            and not self._contents.was_sent(entry.references[0])
        )

    def _make(self, entry: TreeEntry) -> Iterator[None]:
        parts = parts_of(entry.name)
        if stat.S_ISDIR(entry.mode):
            self._tree.add_directory(parts, entry.mode, entry.mtime_ns)
        elif stat.S_ISLNK(entry.mode):
            self._tree.add_link(parts, entry.target, entry.mtime_ns)
        elif len(entry.references) != 1 or self._contents.was_sent(entry.references[0]):
            yield from self._write(entry, parts)
        else:
            yield from self._copy_batch()
            self._parent, self._parent_name = parts[:-1], entry.name.rpartition("/")[0]
            self._batch.append(entry)

    def _copy_batch(self) -> Iterator[None]:
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        directory = self._tree.directory(self._parent)
        try:
            left = [entry for entry in batch if not self._copied(entry, directory)]
        finally:
            os.close(directory)
        yield
        for entry in left:
            yield from self._write(entry, parts_of(entry.name))

    def _copied(self, entry: TreeEntry, directory: int) -> bool:
        """Makes a file that is in the store, if nobody has its name. False if it is to be made in the usual way."""
        name = os.path.basename(entry.name)
        try:
            fd = os.open(name, NEW_FILE, 0o600, dir_fd=directory)
        except OSError:
            return False
        try:
            if not self._contents.copy(entry.references[0], fd):
                self._lacking[entry.references[0].digest] = None
                os.unlink(name, dir_fd=directory)
                return True
            os.fchmod(fd, entry.mode & 0o777)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
        finally:
            os.close(fd)
        return True

    def _write(self, entry: TreeEntry, parts: tuple[str, ...]) -> Iterator[None]:
        """A file that lacks something never gets its name."""
        whole = True
        with contextlib.suppress(_NotWholeError), self._tree.new_file(parts, entry.mode, entry.mtime_ns) as fd:
            for reference in entry.references:
                data = self._found(reference)
                whole = whole and data is not None
                if data is not None and whole:
                    write_all(fd, data)
                yield
            if not whole:
                raise _NotWholeError

    def _found(self, reference: Reference) -> bytes | None:
        data = self._contents.get(reference)
        if data is None:
            self._lacking[reference.digest] = None
        return data


def _is_odd(name: str) -> bool:
    """Whether another name is a name of the same file."""
    return "//" in name or "/./" in name or name.endswith(("/", "/."))
