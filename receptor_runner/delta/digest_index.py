"""What is known of the files of one private data dir, so that a file that has not changed is not read again.

Rules: a file is believed to be the same if its device, inode, size and both its times are. The time of change (ctime)
cannot be set by anybody. One that was so young when it was read that a later change could have the same time is read
again. An index that cannot be read or written costs time, and nothing else. What is known of a file stays a line of
text until somebody asks for it: there may be very many."""

from __future__ import annotations

import contextlib
import logging
import os
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, Protocol

from ..archive.entry import Entry
from ..errors import RefusedError
from ..system.below import read_regular
from ..system.files import replace_file
from .cutting import Cut
from .references import Digester, Reference

__all__ = ["DigestIndex", "KnownFile"]

logger = logging.getLogger(__name__)

_VERSION = 2
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
    """``crc`` is that of the whole file, ``cuts`` are its contents in their order."""

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
        self._head = f"{_VERSION} {digester.digest(b'index').hex()}".encode()
        self._now: dict[bytes, bytes] = {}
        self._before = self._read()
        #: Files that were cut: they may have other names by now.
        self._by_inode = {
            tuple(line.partition(b"\t")[0].split(b" ")[:_INODE]): line
            for line in self._before.values()
            if b" " in _cuts_of(line)
        }
        self._changed = False

    def known(self, entry: Entry) -> KnownFile | None:
        """What is known of the file of ``entry``, if it is as it was."""
        if entry.identity is None:
            return None
        name = _name(entry)
        line = self._before.get(name)
        if line is None or not line.startswith(b"%s\t" % _numbers(entry.identity)):
            return None
        known = _known(line)
        if known is None or sum(one.reference.size for one in known.cuts) != entry.size:
            return None  # the line is damaged
        self._now[name] = line
        return known

    def earlier_cuts(self, entry: Entry) -> tuple[Cut, ...]:
        """How the file was cut before it changed, or before it was renamed."""
        if entry.identity is None:
            return ()
        inode = tuple(b"%d" % number for number in entry.identity[:_INODE])
        line = self._before.get(_name(entry)) or self._by_inode.get(inode)
        known = _known(line) if line is not None else None
        return known.cuts if known is not None else ()

    def note(self, entry: Entry, crc: int, cuts: tuple[Cut, ...], begun_ns: int) -> None:
        """:param begun_ns: when it began to be read, in nanoseconds since the epoch."""
        if entry.identity is None:
            return
        young = max(entry.identity[-1], entry.mtime_ns) > begun_ns - _GRAIN_NS
        identity = entry.identity[:_INODE] if young else entry.identity
        self._now[_name(entry)] = b"%s\t%d\t%s" % (_numbers(identity), crc, b" ".join(map(_to_text, cuts)))
        self._changed = True

    def save(self) -> None:
        """Keeps what was asked for and noted; the rest is gone."""
        if not self._changed and len(self._now) == len(self._before):
            return
        lines = (b"%s\t%s" % item for item in self._now.items())
        data = b"\n".join((self._head, *lines))
        if self._cipher is not None:
            data = self._cipher.seal_text(data)
        try:
            replace_file(self._path, data)
        except OSError as exc:
            logger.info("cannot keep digests in %s: %s", self._path, exc.strerror)

    def _read(self) -> dict[bytes, bytes]:
        with contextlib.suppress(OSError, ValueError, RefusedError):
            content = read_regular(self._path, _LONGEST)
            if self._cipher is not None:
                content = self._cipher.open_text(content)
            head, *lines = content.split(b"\n")
            if head == self._head:
                return {name: line for name, _, line in (one.partition(b"\t") for one in lines)}
        return {}


def _name(entry: Entry) -> bytes:
    return encode_basestring_ascii(entry.name).encode()


def _numbers(identity: tuple[int, ...]) -> bytes:
    return b" ".join([b"%d" % number for number in identity])


def _cuts_of(line: bytes) -> bytes:
    return line.rpartition(b"\t")[2]


def _known(line: bytes) -> KnownFile | None:
    """None: the line is damaged."""
    try:
        _, crc, cuts = line.split(b"\t")
        return KnownFile(int(crc), tuple(map(_cut, cuts.split())))
    except ValueError:
        return None


def _to_text(one: Cut) -> bytes:
    digest, size, crc = one.reference
    return b"%s:%d:%d:%s" % (digest.hex().encode(), size, crc, one.anchor.hex().encode())


def _cut(text: bytes) -> Cut:
    """:raises ValueError: it is none."""
    digest, size, crc, anchor = text.decode("ascii").split(":")
    return Cut(Reference(bytes.fromhex(digest), int(size), int(crc)), bytes.fromhex(anchor))
