"""Extracts an archive that nobody vouches for.

Rules: every step below the target starts from a directory descriptor with O_NOFOLLOW. So nothing is ever written
through a link, whether the link was there before or came with the archive. A file is made aside and renamed, and never
written over. No member leaves the target, none is a device, and none keeps setuid, setgid or sticky bits. Directories
get their modes and times last. An archive that cannot be extracted whole is an ``ArchiveError``."""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from ..errors import ArchiveError, OutputError
from ..limits import DEFAULT_LIMITS, MAX_DEPTH, StreamLimits
from .deflate import deflate
from .entry import modification_time

__all__ = ["unpack_zip", "zip_member"]

_READ = 512 * 1024
_FAULTS: tuple[type[Exception], ...] = (
    OSError,
    deflate.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
)
#: What a file is called until it is whole; one process extracts into one directory at a time.
_ASIDE = f".{os.getpid()}.part"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME = 4096
#: A header of the central directory with a long name and our extra fields.
_LONGEST_HEADER = 46 + 254
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack_zip(
    file: IO[bytes], target: str, limits: StreamLimits = DEFAULT_LIMITS, *, private: bool = False
) -> Iterator[None]:
    """Extracts the zip in ``file`` below the existing directory ``target``, yielding often.

    :param private: nothing is left readable for others, as artifacts should be.
    :raises ArchiveError: the archive is damaged, hostile or too large. What had been extracted before stays.
    :raises OutputError: the target cannot be written.
    """
    room = limits.unpacked
    with _reading():
        _check_directory_size(file, limits.members)
        archive = zipfile.ZipFile(file)
        if len(archive.infolist()) > limits.members:
            raise ArchiveError(f"the archive has more than {limits.members} members, the limit")
    try:
        with archive, _Tree(target, private) as tree:
            for member in archive.infolist():
                for written in _extract(archive, member, tree):
                    room -= written
                    if room < 0:
                        raise ArchiveError(f"the archive grows beyond the limit, at {member.filename[:200]!r}")
                    yield
    except OSError as exc:
        raise OutputError(f"cannot extract into {target}: {exc.strerror or exc}") from exc


def zip_member(file: IO[bytes], name: str, limit: int, max_members: int = DEFAULT_LIMITS.members) -> bytes | None:
    """The beginning of the file ``name`` in the zip in ``file``, ``limit`` bytes at most; None if it is not there.

    :raises ArchiveError: the archive is damaged, or has more than ``max_members`` members.
    """
    with _reading():
        _check_directory_size(file, max_members)
        with zipfile.ZipFile(file) as archive:
            if name not in archive.namelist():
                return None
            with archive.open(name) as member:
                return member.read(limit)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turns what goes wrong while an archive is read into an ``ArchiveError``."""
    try:
        yield
    except ArchiveError:
        raise
    except _FAULTS as exc:
        raise ArchiveError(f"the archive is damaged: {exc}") from exc


def _check_directory_size(file: IO[bytes], max_members: int) -> None:
    """Refuses more members than the limit before ``zipfile`` takes them all into memory.

    The end record is the last 22 bytes and a comment (APPNOTE 4.3.16); beyond 65,534 members the true numbers are in
    the zip64 record before it (4.3.14)."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22 - 0xFFFF))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) - end < 22:
        return
    count, length = struct.unpack_from("<HL", tail, end + 10)
    record, locator = tail[max(0, end - 76) : max(0, end - 20)], tail[max(0, end - 20) : end]
    if locator[:4] == b"PK\6\7" and record[:4] == b"PK\6\6":
        count, length = struct.unpack_from("<QQ", record, 32)
    count = max(count, length // _LONGEST_HEADER)
    if count > max_members:
        raise ArchiveError(f"the archive has {count} members, more than the limit of {max_members}")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, tree: _Tree) -> Iterator[int]:
    """Extracts one member, yielding the number of bytes written."""
    parts = _parts(member.filename)
    mode = member.external_attr >> 16
    mtime_ns = modification_time(member.extra, member.date_time)
    if member.filename.endswith("/"):
        tree.add_directory(parts, mode, mtime_ns)
    elif not parts:
        raise ArchiveError(f"a member of the archive has no name of its own: {member.filename[:200]!r}")
    elif stat.S_IFMT(mode) == stat.S_IFLNK:
        if member.file_size > _LONGEST_NAME:
            raise ArchiveError(f"the target of the link {member.filename[:200]!r} is too long")
        with _reading():
            link = archive.read(member)
        if not link or b"\0" in link:
            raise ArchiveError(f"the link {member.filename[:200]!r} has no target")
        tree.add_link(parts, link, mtime_ns)
    elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
        with tree.new_file(parts, mode, mtime_ns) as fd:
            for chunk in _content(archive, member):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
                yield len(chunk)
    else:
        raise ArchiveError(f"the archive contains something that is not a file: {member.filename[:200]!r}")
    yield 0


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with _reading():
        source: Any = archive.open(member)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        source._decompressor = deflate.decompressobj(-15)  # zipfile's own is always zlib's
    with source:
        while True:
            with _reading():
                chunk = source.read(_READ)
            if not chunk:
                return
            yield chunk


def _parts(name: str) -> tuple[str, ...]:
    """A member's name below the target.

    :raises ArchiveError: it would leave the target.
    """
    if name.startswith("/") or "\0" in name:
        raise ArchiveError(f"a member of the archive has an absolute name: {name[:200]!r}")
    if name.count("/") > MAX_DEPTH or len(name) > _LONGEST_NAME:
        raise ArchiveError(f"a member of the archive is too deep: {name[:200]!r}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveError(f"a member of the archive leaves its target: {name[:200]!r}")
    return parts


class _Tree:
    """The target directory. It is reached through descriptors only."""

    def __init__(self, target: str, private: bool) -> None:
        self._mask = 0o700 if private else 0o777
        self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent = self._root
        self._parent_parts: tuple[str, ...] = ()
        self._made: dict[tuple[str, ...], tuple[int, int | None]] = {}

    def __enter__(self) -> _Tree:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._finish_directories()
        finally:
            self._leave()
            os.close(self._root)

    def add_directory(self, parts: tuple[str, ...], mode: int, mtime_ns: int) -> None:
        self._enter(parts)
        if parts in self._made:
            self._made[parts] = (mode & self._mask if mode else 0o700, mtime_ns)

    def add_link(self, parts: tuple[str, ...], target: bytes, mtime_ns: int) -> None:
        self._enter(parts[:-1])
        self._clear(parts)
        os.symlink(target, parts[-1], dir_fd=self._parent)
        os.utime(parts[-1], ns=(mtime_ns, mtime_ns), dir_fd=self._parent, follow_symlinks=False)

    @contextlib.contextmanager
    def new_file(self, parts: tuple[str, ...], mode: int, mtime_ns: int) -> Iterator[int]:
        """A descriptor to write to; the file gets its name when it is whole."""
        self._enter(parts[:-1])
        parent = self._parent
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_ASIDE, dir_fd=parent)
        fd = os.open(_ASIDE, _NEW, 0o600, dir_fd=parent)
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
                os.unlink(_ASIDE, dir_fd=parent)
            raise

    def _rename(self, parts: tuple[str, ...]) -> None:
        try:
            os.rename(_ASIDE, parts[-1], src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except IsADirectoryError as exc:
            raise ArchiveError(f"cannot put the file {'/'.join(parts)!r} in the place of a directory") from exc

    def _clear(self, parts: tuple[str, ...]) -> None:
        """Makes room for a link; a directory stays and is an error."""
        try:
            os.unlink(parts[-1], dir_fd=self._parent)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError) as exc:
            raise ArchiveError(f"cannot put {'/'.join(parts)!r} in the place of what is there: {exc.strerror}") from exc

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
            return os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another worker shares the target
                os.mkdir(name, 0o700, dir_fd=above)
            self._made[parts] = (0o755 & self._mask, None)
            return os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise ArchiveError(f"a member of the archive goes through a link or file: {'/'.join(parts)!r}") from exc

    def _leave(self) -> None:
        if self._parent != self._root:
            os.close(self._parent)
        self._parent, self._parent_parts = self._root, ()

    def _finish_directories(self) -> None:
        for parts in sorted(self._made, key=len, reverse=True):
            mode, mtime_ns = self._made[parts]
            with contextlib.suppress(ArchiveError, OSError):
                self._enter(parts)
                if mtime_ns is not None:
                    os.utime(self._parent, ns=(mtime_ns, mtime_ns))
                os.fchmod(self._parent, mode)
        self._leave()
