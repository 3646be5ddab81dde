"""Walks a directory and yields what is to be packed.

Rules: parents come before their children. Every directory is reached by the descriptor of the one above it. Links are
kept as links and never followed. What cannot travel is reported by its path, once, and left out. The caller decides
whether a report is fatal."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from ..errors import OutputError
from ..limits import MAX_DEPTH, MAX_HOLES, MAX_MEMBER_NAME, MAX_MEMBERS, MAX_UNPACKED
from ..system.arguments import is_utf8
from ..system.below import DIRECTORY
from .entry import Entry

__all__ = ["CHANGED", "HOLES", "Report", "check_shortage", "collect", "excluded", "opened", "refusal"]

#: Called with a path and the reason why it does not travel. ``fatal`` if a job would miss it.
Report = Callable[[str, str, bool], None]

#: What is reported of a file that did not stay as it was, and of one with too many holes.
CHANGED = "changed while it was read; what was there first travels"
HOLES = f"is left out: it has holes, and an archive has {MAX_HOLES} bytes of them"

_KINDS = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def collect(
    top: str | int,
    report: Report,
    *,
    prefix: str = "",
    exclude: Sequence[str] = (),
    skip: frozenset[str] = frozenset(),
) -> Iterator[Entry]:
    """Everything below ``top``, a path or the descriptor of a directory.

    :param prefix: put before each name, with its ``/``.
    :param exclude: shell patterns; a path is left out if its whole name below ``top`` or its last part matches, a
        directory with all that is in it.
    :param skip: names (with the prefix) that are left out in silence: the caller packs them itself.
    """
    pending: list[_Level] = []
    try:
        pending.append(_Level(top, None, prefix, report))
        while pending:
            level = pending[-1]
            own = next(level.names, None)
            if own is None:
                pending.pop().close()
                continue
            name = level.prefix + own
            if name in skip or (exclude and excluded(name, exclude)):
                continue
            entry = _entry(level, own, name, report)
            if entry is None:
                continue
            yield entry
            if stat.S_ISDIR(entry.mode) and not entry.too_deep:
                pending.append(_Level(own, level, name + "/", report))
    finally:
        for level in pending:
            level.close()


class _Level:
    """A directory that is being walked. It is reached from the one above it, so nobody can put another in its place."""

    def __init__(self, directory: str | int, above: _Level | None, prefix: str, report: Report) -> None:
        self.prefix = prefix
        self.path: str = str(directory).rstrip("/") if above is None else f"{above.path}/{directory}"
        self.fd = -1
        self.names: Iterator[str] = iter(())
        try:
            if isinstance(directory, int):
                self.path = os.readlink(f"/proc/self/fd/{directory}")
                self.fd = os.dup(directory)
            elif above is None:
                self.fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                self.fd = os.open(directory, DIRECTORY, dir_fd=above.fd)
            self.names = iter(sorted(os.listdir(self.fd)))
        except OSError as exc:
            check_shortage(exc, self.path)
            report(self.path, f"cannot be listed: {exc.strerror}", not isinstance(exc, FileNotFoundError))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def check_shortage(exc: OSError, path: str) -> None:
    """:raises OutputError: this process is short of descriptors or memory, and nothing is wrong with the file."""
    if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise OutputError(f"cannot read {path}: {exc.strerror}") from exc


def refusal(entry: Entry, members: int, unpacked: int) -> str | None:
    """Why a receiver would refuse an archive because of ``entry``: it has the same bounds.

    :param members: how many are in the archive already, ``unpacked`` bytes of them.
    """
    if entry.too_deep:
        return f"is deeper than {MAX_DEPTH} directories, or its name is longer than {MAX_MEMBER_NAME} bytes"
    if members >= MAX_MEMBERS:
        return f"is one file too many: an archive has {MAX_MEMBERS} at most"
    if unpacked + entry.size > MAX_UNPACKED:
        return f"is too large: an archive holds {MAX_UNPACKED} bytes at most"
    return None


def opened(entry: Entry, report: Report) -> int | None:
    """A descriptor of the file of ``entry``; None if it cannot be read, which is reported.

    :raises OutputError: this process is short of descriptors or memory.
    """
    assert entry.path is not None
    try:
        return entry.open()
    except OSError as exc:
        check_shortage(exc, entry.path)
        report(entry.path, f"cannot be read: {exc.strerror}", not isinstance(exc, FileNotFoundError))
        return None


def excluded(name: str, patterns: Sequence[str]) -> bool:
    last = PurePosixPath(name).name
    return any(
        fnmatch.fnmatchcase(name, pattern.rstrip("/")) or fnmatch.fnmatchcase(last, pattern.rstrip("/"))
        for pattern in patterns
    )


def _entry(level: _Level, own: str, name: str, report: Report) -> Entry | None:
    path = f"{level.path}/{own}"
    if not own.isascii() and not is_utf8(own):
        report(path, "left out: its name is not UTF-8", False)
        return None
    try:
        found = os.stat(own, dir_fd=level.fd, follow_symlinks=False)
        mode, size, mtime_ns = found.st_mode, found.st_size, found.st_mtime_ns
        identity = (found.st_dev, found.st_ino, size, mtime_ns, found.st_ctime_ns)
        kind = stat.S_IFMT(mode)
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            return Entry(name, mode, mtime_ns, size, path, None, level.fd, identity)
        if kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(own, dir_fd=level.fd))
            return Entry(name, mode, mtime_ns, len(target), None, target, None, identity)
    except OSError as exc:
        report(path, f"cannot be read: {exc.strerror}", not isinstance(exc, FileNotFoundError))
        return None
    report(path, f"left out: it is {_KINDS.get(kind, 'not a file')}", False)
    return None
