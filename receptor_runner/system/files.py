"""Writes a file as a whole.

Rules: a file is written aside first, under a name that nobody else has, so a reader finds the new file, or the old
one, or none, and never half of one. What is left of a failed attempt is removed. A new file is private unless told
otherwise; a file that is replaced keeps its mode. This module imports next to nothing, because the process of every
work unit has it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

__all__ = ["create_file", "make_private", "replace_file"]


def replace_file(path: str | os.PathLike[str], content: bytes, *, mode: int = 0o600, keep_owner: bool = False) -> None:
    """:param mode: of a new file, as far as the umask permits it.
    :param keep_owner: whether a file that is replaced keeps its user and group, too.
    :raises OSError: it cannot be written, and the old file is untouched.
    """
    directory, name = os.path.split(os.fspath(path))
    aside = os.path.join(directory, _aside(name))
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(path)
                if keep_owner:
                    os.fchown(fd, found.st_uid, found.st_gid)
                os.fchmod(fd, stat.S_IMODE(found.st_mode))
            file.write(content)
        os.rename(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def create_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Makes a private file if there is none yet. If several try at once, one of them wins.

    :raises OSError: there is none, and none can be made.
    """
    directory, name = os.path.split(os.fspath(path))
    aside = os.path.join(directory, _aside(name))
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        os.unlink(aside)


def _aside(name: str) -> str:
    """A name that no thread, fork or other machine with this file system has."""
    return f".{name[:200]}.{os.urandom(8).hex()}"


def make_private(directory: Path) -> None:
    """Makes ``directory`` and what is missing above it, so that nobody else can enter.

    :raises OSError: it cannot be made.
    """
    for path in (*reversed(directory.parents), directory):
        if not os.path.exists(path):
            path.mkdir(mode=0o700, exist_ok=True)
