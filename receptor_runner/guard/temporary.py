"""The temporary directories of a job: the guard makes them. If everything that looked after them was killed at once,
the guard of a later job removes them.

Rules: the guard that made a directory holds a lock (flock) on it as long as it lives. A directory is removed only if it
has such a name, which nobody gives by chance, belongs to this user, was not changed for a minute, and can be locked, if
no process uses it, and if it is mounted nowhere."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import random
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator

from ..system.directories import locked
from ..system.in_use import used_by_processes
from ..system.mounts import seen_elsewhere
from ..system.removal import removing

__all__ = ["JOB", "SCRATCH", "make_temporary", "new_name", "removing_abandoned"]

#: The beginnings of their names: of a private data dir, and of what becomes ``TMPDIR``, which is short, because sockets
#: are made there.
JOB = "receptor-runner-job-"
SCRATCH = "rrj-"
#: Seconds between the making of a directory and its lock, and much more.
_OLD = 60.0
#: One job removes so many: to ask whether somebody uses them takes its time.
_MOST = 16
_RANDOM_DIGITS = 8
_SIGN_DIGITS = 6


def make_temporary(kind: str, place: str | None = None) -> tuple[str, int]:
    """A new private directory in ``place``, or where temporary files are, and the descriptor that holds its lock.

    :raises OSError: it cannot be made.
    """
    path = os.path.join(place or tempfile.gettempdir(), new_name(kind))
    os.mkdir(path, 0o700)
    return path, locked(path, exclusive=False)


def new_name(kind: str) -> str:
    """A name that nobody has: its end says that what is before it was chosen here."""
    return _signed(kind, secrets.token_hex(_RANDOM_DIGITS // 2))


def _signed(kind: str, chosen: str) -> str:
    return f"{kind}{chosen}{hashlib.sha256(f'{kind}{chosen}'.encode()).hexdigest()[:_SIGN_DIGITS]}"


def _is_name(name: str) -> bool:
    return any(name == _signed(kind, name[len(kind) :][:_RANDOM_DIGITS]) for kind in (JOB, SCRATCH))


def removing_abandoned(more: Iterable[str] = ()) -> Iterator[None]:
    """Removes what is abandoned, some of it, yielding often: where temporary files are, and in the places ``more``.
    What cannot be removed stays."""
    old = (path for path in _candidates((tempfile.gettempdir(), *more)) if _is_old_and_ours(path))
    found = list(itertools.islice(old, _MOST))
    busy = used_by_processes(found)
    for path in found:
        yield
        with contextlib.suppress(OSError), _held(path):
            if path not in busy and not seen_elsewhere([path]):
                yield from removing(path)


def _candidates(places: Iterable[str]) -> list[str]:
    found: list[str] = []
    for place in places:
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            found += [entry.path for entry in entries if _is_name(entry.name)]
    random.shuffle(found)  # what cannot be removed is not in the way of the rest for ever
    return found


def _is_old_and_ours(path: str) -> bool:
    with contextlib.suppress(OSError):
        known = os.lstat(path)
        mine = stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid()
        return mine and known.st_mtime < time.time() - _OLD
    return False


@contextlib.contextmanager
def _held(path: str) -> Iterator[None]:
    """:raises OSError: somebody has it, or its file system knows no locks: then nobody can tell."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
