"""A directory that nobody vouches for is made in here: files, links and directories below one target.

Rules: every step below the target starts from a directory descriptor with O_NOFOLLOW. So nothing is ever written
through a link, whether the link was there before or is new. A file is made aside and renamed, and never written over.
Directories get their modes and times last."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Iterator

from ..errors import ArchiveError, LimitError, OutputError, ReceptorRunnerError
from ..limits import MAX_DEPTH
from ..system.below import DIRECTORY, make_accessible

__all__ = ["NEW_FILE", "Tree", "parts_of", "write_all", "writing"]

logger = logging.getLogger(__name__)

#: How a file is made that nobody has made before.
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What only the archive can be blamed for: names and links that no file system takes.
_FAULTS_OF_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


@contextlib.contextmanager
def writing(target: str) -> Iterator[None]:
    """What goes wrong inside of it is the archive's fault, or that of ``target``.

    :raises ArchiveError: no file system could make a member.
    :raises OutputError: ``target`` cannot be written.
    """
    try:
        yield
    except ReceptorRunnerError:
        raise
    except UnicodeError as exc:
        raise ArchiveError(f"the archive has a member whose name cannot be written here: {exc}") from exc
    except OSError as exc:
        if exc.errno in _FAULTS_OF_NAMES:
            raise ArchiveError(f"the archive has a member that cannot be made: {exc.strerror}") from exc
        raise OutputError(f"cannot extract into {target}: {exc.strerror or exc}") from exc


def parts_of(name: str) -> tuple[str, ...]:
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


def write_all(fd: int, data: bytes) -> None:
    """:raises OSError: not all of it can be written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _leaves(link: bytes, depth: int) -> bool:
    """Whether a link that lies below ``depth`` directories may lead out of the target. It goes up first, over real
    directories, and then only down: so no chain of such links gets out.
    """
    parts = [part for part in link.split(b"/") if part not in (b"", b".")]
    ups = 0
    while ups < len(parts) and parts[ups] == b"..":
        ups += 1
    return link.startswith(b"/") or ups > depth or b".." in parts[ups:]


class Tree:
    """The target directory. It is reached through descriptors only.

    :param artifacts: what a job has left: nothing becomes readable for others, and no link leads out.
    :param directories: no more than so many are made.
    """

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

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        os.close(self._root)

    def add_directory(self, parts: tuple[str, ...], mode: int, mtime_ns: int, *, old: bool = False) -> None:
        """:param old: also a directory that was there before gets the mode and the time."""
        self._newest = None
        self._enter(parts)
        if parts and (old or self._newest == parts):
            self._later[parts] = (mode & self._mask if mode else 0o700, mtime_ns)

    def add_link(self, parts: tuple[str, ...], target: bytes, mtime_ns: int) -> None:
        """:raises ArchiveError: it has no target, or a directory is in its place."""
        if not target or b"\0" in target:
            raise ArchiveError(f"the link {'/'.join(parts)[:200]!r} has no target")
        if self.artifacts and _leaves(target, len(parts) - 1):
            logger.warning("the link %.200r in the artifacts is left out: it leads out of them", "/".join(parts))
            return
        self._enter(parts[:-1])
        try:
            self._clear(parts)
        except PermissionError:
            self._make_writable()
            self._clear(parts)
        os.symlink(target, parts[-1], dir_fd=self._parent)
        os.utime(parts[-1], ns=(mtime_ns, mtime_ns), dir_fd=self._parent, follow_symlinks=False)

    def directory(self, parts: tuple[str, ...]) -> int:
        """A descriptor of the directory ``parts``, which is made if it is missing. Whoever asks for it closes it."""
        self._enter(parts)
        return os.dup(self._parent)

    @contextlib.contextmanager
    def new_file(self, parts: tuple[str, ...], mode: int, mtime_ns: int) -> Iterator[int]:
        """A descriptor to write to; the file gets its name when it is whole."""
        self._enter(parts[:-1])
        try:
            fd = os.open(self._aside, NEW_FILE, 0o600, dir_fd=self._parent)
        except PermissionError:
            self._make_writable()
            fd = os.open(self._aside, NEW_FILE, 0o600, dir_fd=self._parent)
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
