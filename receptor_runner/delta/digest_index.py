"""What is known of the files of one private data dir, so that a file that has not changed is not read again.

Rules: a file is believed to be the same if its device, inode, size and both its times are. The time of change (ctime)
cannot be set by anybody. One that was so young when it was read that a later change could have the same time is read
again. An index that cannot be read or written costs time, and nothing else."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from typing import NamedTuple, Protocol

from ..archive.entry import Entry
from ..errors import RefusedError
from ..stream.bounded_json import parse_json
from ..system.below import read_regular
from ..system.files import replace_file
from .cutting import Cut
from .references import Digester, Reference

__all__ = ["DigestIndex", "KnownFile"]

logger = logging.getLogger(__name__)

_VERSION = 1
_LONGEST = 1024 * 1024 * 1024
#: Times of files are that exact, on the worst file system that is known (FAT, and clocks of servers).
_GRAIN_NS = 2_000_000_000
#: So much of an identity says which file it is.
_INODE = 2


class IndexCipher(Protocol):
    """Encrypts and decrypts texts."""

    def seal_text(self, text: bytes) -> bytes: ...

    def open_text(self, sealed: bytes) -> bytes:
        """:raises RefusedError: it is none."""


class KnownFile(NamedTuple):
    """``identity`` is that of :class:`~receptor_runner.archive.entry.Entry`, or its beginning if the file may
    have changed since. ``cuts`` are the contents in their order.
    """

    identity: tuple[int, ...]
    crc: int
    cuts: tuple[Cut, ...]


class DigestIndex:
    """The index in the file ``path``.

    :param cipher: encrypts the file.
    """

    def __init__(self, path: str | os.PathLike[str], digester: Digester, cipher: IndexCipher | None = None) -> None:
        self._cipher = cipher
        self._path = path
        #: Another key makes other digests.
        self._key = digester.digest(b"index").hex()
        self._now: dict[str, KnownFile] = {}
        self._before = self._read()
        self._by_inode = {known.identity[:_INODE]: known for known in self._before.values() if len(known.cuts) > 1}
        self._changed = False

    def known(self, entry: Entry) -> KnownFile | None:
        """What is known of the file of ``entry``, if it is as it was."""
        known = self._before.get(entry.name)
        if known is None or known.identity != entry.identity:
            return None
        self._now[entry.name] = known
        return known

    def earlier_cuts(self, entry: Entry) -> tuple[Cut, ...]:
        """How the file was cut before it changed, or before it was renamed."""
        if entry.identity is None:
            return ()
        known = self._before.get(entry.name) or self._by_inode.get(entry.identity[:_INODE])
        return known.cuts if known is not None else ()

    def note(self, entry: Entry, crc: int, cuts: tuple[Cut, ...], begun_ns: int) -> None:
        """:param begun_ns: when it began to be read, in nanoseconds since the epoch."""
        if entry.identity is None:
            return
        young = max(entry.identity[-1], entry.mtime_ns) > begun_ns - _GRAIN_NS
        self._now[entry.name] = KnownFile(entry.identity[:_INODE] if young else entry.identity, crc, cuts)
        self._changed = True

    def save(self) -> None:
        """Keeps what was asked for and noted; the rest is gone."""
        if not self._changed and len(self._now) == len(self._before):
            return
        files = {
            name: [known.identity, known.crc, [_to_json(one) for one in known.cuts]]
            for name, known in self._now.items()
        }
        content = json.dumps({"version": _VERSION, "key": self._key, "files": files}, separators=(",", ":"))
        data = content.encode()
        if self._cipher is not None:
            data = self._cipher.seal_text(data)
        try:
            replace_file(self._path, data)
        except OSError as exc:
            logger.info("cannot keep digests in %s: %s", self._path, exc.strerror)

    def _read(self) -> dict[str, KnownFile]:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RefusedError):
            content = read_regular(self._path, _LONGEST)
            if self._cipher is not None:
                content = self._cipher.open_text(content)
            data = parse_json(content)
            if data["version"] == _VERSION and data["key"] == self._key:
                return {
                    name: KnownFile(tuple(identity), crc, tuple(_cut(*one) for one in cuts))
                    for name, (identity, crc, cuts) in data["files"].items()
                }
        return {}


def _to_json(one: Cut) -> tuple[str, int, int, str]:
    return one.reference.digest.hex(), one.reference.size, one.reference.crc, one.anchor.hex()


def _cut(digest: str, size: int, crc: int, anchor: str) -> Cut:
    return Cut(Reference(bytes.fromhex(digest), size, crc), bytes.fromhex(anchor))
