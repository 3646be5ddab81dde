"""Reaches what is below a directory after hostile code has run there.

Rules: a directory is opened before the code runs, and kept. Every later access starts from that descriptor and follows
no link. What is opened is looked at: only a regular file is read. Nobody waits for a fifo, and nobody reads a
device."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

__all__ = [
    "DIRECTORY",
    "Held",
    "make_accessible",
    "open_directory",
    "open_file",
    "open_regular",
    "read_regular",
    "read_whole",
]

_READ = 1024 * 1024
#: How to open a directory that must not be a link.
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(top: int, parts: Sequence[str], *, make: bool = False) -> int:
    """A descriptor of the directory ``parts`` below ``top``.

    :param make: make what is missing, private.
    :raises OSError: it is not there, or a link leads there.
    """
    fd = os.dup(top)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=fd)
            below = os.open(part, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_file(name: str, directory: int | None) -> int:
    """A descriptor of the regular file ``name`` in ``directory``, to read. No link is followed at its end.

    :raises OSError: it is not there, or is something else.
    """
    return _checked(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory), name)


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor of a regular file, to read; links are followed.

    :raises OSError: it is not there, or is something else.
    """
    return _checked(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), path)


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """All of a regular file; links are followed.

    :raises OSError: it is not there, is something else, is larger than ``limit`` bytes (EFBIG), or cannot be read.
    """
    return read_whole(open_regular(path), limit)


def read_whole(fd: int, limit: int) -> bytes:
    """All of an open file, which is closed.

    :raises OSError: it is larger than ``limit`` bytes (EFBIG), or cannot be read.
    """
    with os.fdopen(fd, "rb", buffering=0) as file:
        content = bytearray()
        while data := file.read(min(_READ, limit + 1 - len(content))):
            content += data
            if len(content) > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit} bytes")
        return bytes(content)


def _checked(fd: int, name: str | os.PathLike[str]) -> int:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(name))
    return fd


def make_accessible(directory: int) -> int:
    """Lets the owner of ``directory``, a descriptor, enter and write it; returns the mode that it had.

    :raises OSError: it is not ours.
    """
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    os.chmod(f"/proc/self/fd/{directory}", mode | 0o700)
    return mode


class Held:
    """The name ``path``, to be removed later. The nearest directory above it that exists now is kept; what comes to
    stand in the way below that is not followed.

    :raises OSError: not even ``/`` can be opened.
    """

    def __init__(self, path: str) -> None:
        above, name = os.path.split(path)
        self._parts = [name]
        while True:
            try:
                self._fd = os.open(above or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                return
            except (FileNotFoundError, PermissionError, NotADirectoryError):
                if above in ("", "/"):
                    raise
                above, name = os.path.split(above)
                self._parts.insert(0, name)

    def remove(self) -> None:
        """Removes the file or link of that name, or the directory if nobody has put anything into it."""
        try:
            directory = open_directory(self._fd, self._parts[:-1])
        except OSError:
            return
        try:
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(self._parts[-1], dir_fd=directory).st_mode):
                    os.rmdir(self._parts[-1], dir_fd=directory)
                else:
                    os.unlink(self._parts[-1], dir_fd=directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        os.close(self._fd)
