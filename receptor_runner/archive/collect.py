"""Walks a directory and yields what is to be packed.

Rules: parents come before their children. Links are kept as links and never followed. What cannot travel is reported
by its path, once, and left out. The caller decides whether a report is fatal."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from .entry import Entry

__all__ = ["Report", "collect"]

#: Called with a path and the reason why it does not travel. ``fatal`` if a job would miss it.
Report = Callable[[str, str, bool], None]

_KINDS = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def collect(
    top: str, report: Report, *, prefix: str = "", exclude: Sequence[str] = (), skip: frozenset[str] = frozenset()
) -> Iterator[Entry]:
    """Everything below ``top``.

    :param prefix: put before each name, with its ``/``.
    :param exclude: shell patterns; a path is left out if its whole name below ``top`` or its last part matches, a
        directory with all that is in it.
    :param skip: names (with the prefix) that are left out in silence: the caller packs them itself.
    """
    pending = [iter(_listed(top, report))]
    prefixes = [prefix]
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
            prefixes.pop()
            continue
        name = prefixes[-1] + item.name
        if name in skip or (exclude and excluded(name, exclude)):
            continue
        entry = _entry(item, name, report)
        if entry is None:
            continue
        yield entry
        if stat.S_ISDIR(entry.mode):
            pending.append(iter(_listed(item.path, report)))
            prefixes.append(name + "/")


def _listed(directory: str, report: Report) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as scan:
            return sorted(scan, key=lambda item: item.name)
    except OSError as exc:
        report(directory, f"cannot be listed: {exc.strerror}", not isinstance(exc, FileNotFoundError))
        return []


def excluded(name: str, patterns: Sequence[str]) -> bool:
    last = PurePosixPath(name).name
    return any(
        fnmatch.fnmatchcase(name, pattern.rstrip("/")) or fnmatch.fnmatchcase(last, pattern.rstrip("/"))
        for pattern in patterns
    )


def _entry(item: os.DirEntry[str], name: str, report: Report) -> Entry | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        report(item.path, "left out: its name is not UTF-8", False)
        return None
    try:
        found = item.stat(follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(item.path))
            return Entry(name, found.st_mode, found.st_mtime_ns, len(target), data=target)
    except OSError as exc:
        report(item.path, f"cannot be read: {exc.strerror}", not isinstance(exc, FileNotFoundError))
        return None
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        return Entry(name, found.st_mode, found.st_mtime_ns, found.st_size, path=item.path)
    report(item.path, f"left out: it is {_KINDS.get(kind, 'not a file')}", False)
    return None
