"""Extracts a zip that nobody vouches for.

Rules: every step below the target starts from a directory descriptor with O_NOFOLLOW. So nothing is ever written
through a link, whether the link was there before or came with the archive. A file is made aside and renamed, and never
written over. No member leaves the target, none is a device, and none keeps setuid, setgid or sticky bits. Directories
get their modes and times last. Every bound is checked before the first byte is written. An archive that cannot be
extracted whole is an ``ArchiveError``; that the target takes no more is an ``OutputError``."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from typing import IO, Any

from ..errors import ArchiveError, LimitError, OutputError
from ..limits import DEFAULT_LIMITS, FREE_GROWTH, MAX_DEPTH, MAX_GROWTH, MAX_MEMBER_NAME, StreamLimits
from ..system.below import DIRECTORY, make_accessible
from .deflate import deflate
from .directory import DEFLATED, STORED, Member, ZipDirectory

__all__ = ["unpack_zip", "zip_member"]

logger = logging.getLogger(__name__)

_READ = 512 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What only the archive can be blamed for: names and links that no file system takes.
_FAULTS_OF_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
#: How many members are looked at before the caller has its turn.
_MEMBERS_AT_ONCE = 1000
#: Where only ``process`` puts files.
_EVENTS = "job_events"


def unpack_zip(
    file: IO[bytes], target: str, limits: StreamLimits = DEFAULT_LIMITS, *, artifacts: bool = False
) -> Iterator[None]:
    """Extracts the zip in ``file`` below the existing directory ``target``, yielding often.

    :param artifacts: what a job has left: nothing becomes readable for others, no link leads out of the target, and
        event files are left out.
    :raises ArchiveError: the archive is damaged or hostile. What had been extracted before stays.
    :raises LimitError: it is larger than ``limits``.
    :raises OutputError: the target cannot be written.
    """
    directory = ZipDirectory(file)
    yield from _check(directory, limits)
    try:
        with _Tree(target, artifacts, limits.members) as tree:
            free = 0
            for member in directory.members():
                place = directory.data_of(member)
                if place < free:
                    raise ArchiveError(f"members of the archive share their data, at {member.name[:200]!r}")
                free = place + member.packed
                yield from _extract(file, member, place, tree)
            yield from tree.finish()
    except UnicodeError as exc:
        raise ArchiveError(f"the archive has a member whose name cannot be written here: {exc}") from exc
    except OSError as exc:
        if exc.errno in _FAULTS_OF_NAMES:
            raise ArchiveError(f"the archive has a member that cannot be made: {exc.strerror}") from exc
        raise OutputError(f"cannot extract into {target}: {exc.strerror or exc}") from exc


def zip_member(file: IO[bytes], name: str, limit: int, limits: StreamLimits = DEFAULT_LIMITS) -> bytes | None:
    """The beginning of the file ``name`` in the zip in ``file``, ``limit`` bytes at most; None if it is not there.

    :raises ArchiveError: the archive is damaged.
    :raises LimitError: it is larger than ``limits``.
    """
    directory = ZipDirectory(file)
    for _ in _check(directory, limits):
        pass
    found = None
    for member in directory.members():
        if member.name == name:
            found = member
    if found is None:
        return None
    content = b""
    for chunk in _content(file, found, directory.data_of(found)):
        content += chunk
        if len(content) >= limit:
            break
    return content[:limit]


def _check(directory: ZipDirectory, limits: StreamLimits) -> Iterator[None]:
    """:raises LimitError: the archive says itself that it is too large.
    :raises ArchiveError: it is damaged, or grows as no honest one does.
    """
    packed = size = 0
    for count, member in enumerate(directory.members(), 1):
        if count > limits.members:
            raise LimitError(f"the archive has more than {limits.members} members, the limit")
        packed += member.packed
        size += member.size
        if size > limits.unpacked:
            raise LimitError(f"the archive grows beyond {limits.unpacked} bytes, the limit, at {member.name[:200]!r}")
        if not count % _MEMBERS_AT_ONCE:
            yield
    if size > max(FREE_GROWTH, packed * MAX_GROWTH):
        raise ArchiveError(f"the archive grows from {packed} to {size} bytes, more than {MAX_GROWTH} times")


def _extract(file: IO[bytes], member: Member, place: int, tree: _Tree) -> Iterator[None]:
    parts = _parts(member.name)
    kind = stat.S_IFMT(member.mode)
    if tree.artifacts and parts[:1] == (_EVENTS,):
        return
    if member.directory:
        tree.add_directory(parts, member.mode, member.mtime_ns)
    elif kind == stat.S_IFLNK and member.size > MAX_MEMBER_NAME:
        raise ArchiveError(f"the target of the link {member.name[:200]!r} is too long")
    elif not parts:
        raise ArchiveError(f"a member of the archive has no name of its own: {member.name[:200]!r}")
    elif kind == stat.S_IFLNK:
        _make_link(member, parts, b"".join(_content(file, member, place)), tree)
    elif kind in (0, stat.S_IFREG):
        with tree.new_file(parts, member.mode, member.mtime_ns) as fd:
            for chunk in _content(file, member, place):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
                yield
    else:
        raise ArchiveError(f"the archive contains something that is not a file: {member.name[:200]!r}")
    yield


def _make_link(member: Member, parts: tuple[str, ...], target: bytes, tree: _Tree) -> None:
    if not target or b"\0" in target:
        raise ArchiveError(f"the link {member.name[:200]!r} has no target")
    if tree.artifacts and _leaves(target, len(parts) - 1):
        logger.warning("the link %.200r in the artifacts is left out: it leads out of them", member.name)
    else:
        tree.add_link(parts, target, member.mtime_ns)


def _content(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    """The data of a member.

    :raises ArchiveError: it is not what the directory says.
    """
    crc = size = 0
    for chunk in _unpacked(file, member, place):
        size += len(chunk)
        if size > member.size:
            break
        crc = deflate.crc32(chunk, crc)
        yield chunk
    if size != member.size or crc != member.crc:
        raise ArchiveError(f"the archive is damaged: {member.name[:200]!r} is not what its directory says")


def _unpacked(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    if member.method == STORED:
        yield from _packed(file, member, place)
        return
    if member.method != DEFLATED:
        raise ArchiveError(f"{member.name[:200]!r} in the archive is packed by the method {member.method}, not by 8")
    squeezed: Any = deflate.decompressobj(-15)
    try:
        for piece in _packed(file, member, place):
            rest = piece
            while rest and not squeezed.eof:
                yield squeezed.decompress(rest, _READ)
                rest = squeezed.unconsumed_tail
        if not squeezed.eof:
            yield squeezed.flush()
    except deflate.error as exc:
        raise ArchiveError(f"the archive is damaged: {member.name[:200]!r}: {exc}") from exc


def _packed(file: IO[bytes], member: Member, place: int) -> Iterator[bytes]:
    left = member.packed
    while left > 0:
        file.seek(place)
        data = file.read(min(_READ, left))
        if not data:
            return
        yield data
        place += len(data)
        left -= len(data)


def _parts(name: str) -> tuple[str, ...]:
    """A member's name below the target.

    :raises ArchiveError: it would leave the target.
    """
    if name.startswith("/") or "\0" in name:
        raise ArchiveError(f"a member of the archive has an absolute name: {name[:200]!r}")
    if name.rstrip("/").count("/") > MAX_DEPTH:
        raise ArchiveError(f"a member of the archive is too deep: {name[:200]!r}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveError(f"a member of the archive leaves its target: {name[:200]!r}")
    return parts


def _leaves(link: bytes, depth: int) -> bool:
    """Whether a link that lies below ``depth`` directories may lead out of the target. It goes up first, over real
    directories, and then only down: so no chain of such links gets out.
    """
    parts = [part for part in link.split(b"/") if part not in (b"", b".")]
    ups = 0
    while ups < len(parts) and parts[ups] == b"..":
        ups += 1
    return link.startswith(b"/") or ups > depth or b".." in parts[ups:]


class _Tree:
    """The target directory. It is reached through descriptors only."""

    def __init__(self, target: str, artifacts: bool, directories: int) -> None:
        self.artifacts = artifacts
        self._room = directories
        self._mask = 0o700 if artifacts else 0o777
        #: What a file is called until it is whole; nobody else has that name.
        self._aside = f".{secrets.token_hex(8)}.part"
        self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent = self._root
        self._parent_parts: tuple[str, ...] = ()
        #: Modes and times that directories get when everything is in them.
        self._later: dict[tuple[str, ...], tuple[int, int | None]] = {}
        self._newest: tuple[str, ...] | None = None

    def __enter__(self) -> _Tree:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        os.close(self._root)

    def add_directory(self, parts: tuple[str, ...], mode: int, mtime_ns: int) -> None:
        self._newest = None
        self._enter(parts)
        if parts and self._newest == parts:
            self._later[parts] = (mode & self._mask if mode else 0o700, mtime_ns)

    def add_link(self, parts: tuple[str, ...], target: bytes, mtime_ns: int) -> None:
        self._enter(parts[:-1])
        try:
            self._clear(parts)
        except PermissionError:
            self._make_writable()
            self._clear(parts)
        os.symlink(target, parts[-1], dir_fd=self._parent)
        os.utime(parts[-1], ns=(mtime_ns, mtime_ns), dir_fd=self._parent, follow_symlinks=False)

    @contextlib.contextmanager
    def new_file(self, parts: tuple[str, ...], mode: int, mtime_ns: int) -> Iterator[int]:
        """A descriptor to write to; the file gets its name when it is whole."""
        self._enter(parts[:-1])
        try:
            fd = os.open(self._aside, _NEW, 0o600, dir_fd=self._parent)
        except PermissionError:
            self._make_writable()
            fd = os.open(self._aside, _NEW, 0o600, dir_fd=self._parent)
        try:
            try:
                yield fd
                os.fchmod(fd, mode & self._mask if mode else 0o600)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
            self._rename(parts)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(self._aside, dir_fd=self._parent)
            raise

    def _rename(self, parts: tuple[str, ...]) -> None:
        try:
            os.rename(self._aside, parts[-1], src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except IsADirectoryError as exc:
            raise ArchiveError(f"cannot put the file {'/'.join(parts)!r} in the place of a directory") from exc

    def _clear(self, parts: tuple[str, ...]) -> None:
        """Makes room for a link; a directory stays and is an error."""
        try:
            os.unlink(parts[-1], dir_fd=self._parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError as exc:
            raise ArchiveError(f"cannot put the link {'/'.join(parts)!r} in the place of a directory") from exc

    def _make_writable(self) -> None:
        """An archive may hold directories that their owner cannot write, and be extracted twice."""
        self._make_accessible(self._parent, self._parent_parts)

    def _make_accessible(self, directory: int, parts: tuple[str, ...]) -> None:
        self._later.setdefault(parts, (make_accessible(directory), None))

    def _enter(self, parts: tuple[str, ...]) -> None:
        """Makes ``parts`` the current parent, creating what is missing, following nothing."""
        if parts == self._parent_parts:
            return
        self._leave()
        fd = self._root
        for depth, part in enumerate(parts, 1):
            try:
                below = self._open_directory(fd, part, parts[:depth])
            finally:
                if fd != self._root:
                    os.close(fd)
            fd = below
        self._parent, self._parent_parts = fd, parts

    def _open_directory(self, above: int, name: str, parts: tuple[str, ...]) -> int:
        try:
            return os.open(name, DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            self._make_directory(above, name, parts)
            return os.open(name, DIRECTORY, dir_fd=above)
        except PermissionError:
            fd = os.open(name, os.O_PATH | DIRECTORY, dir_fd=above)
            try:
                self._make_accessible(fd, parts)
            finally:
                os.close(fd)
            return os.open(name, DIRECTORY, dir_fd=above)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise ArchiveError(f"a member of the archive goes through a link or file: {'/'.join(parts)!r}") from exc

    def _make_directory(self, above: int, name: str, parts: tuple[str, ...]) -> None:
        self._room -= 1
        if self._room < 0:
            raise LimitError(f"the archive has more directories than members are taken, at {'/'.join(parts)[:200]!r}")
        with contextlib.suppress(FileExistsError):  # another worker shares the target
            try:
                os.mkdir(name, 0o755 & self._mask, dir_fd=above)
            except PermissionError:
                self._make_accessible(above, parts[:-1])
                os.mkdir(name, 0o755 & self._mask, dir_fd=above)
            self._newest = parts

    def _leave(self) -> None:
        if self._parent != self._root:
            os.close(self._parent)
        self._parent, self._parent_parts = self._root, ()

    def finish(self) -> Iterator[None]:
        """Gives directories their modes and times, the deepest first, yielding often."""
        for parts in sorted(self._later, key=len, reverse=True):
            mode, mtime_ns = self._later[parts]
            with contextlib.suppress(ArchiveError, OSError):
                self._enter(parts)
                if mtime_ns is not None:
                    os.utime(self._parent, ns=(mtime_ns, mtime_ns))
                os.fchmod(self._parent, mode)
            yield
        self._leave()
