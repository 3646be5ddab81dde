"""What is known of the files of one private data dir, so that a file that has not changed is not read again.

Rules: a file is believed to be the same if its device, inode, size and both its times are. The time of change (ctime)
cannot be set by anybody. One that was so young when it was read that a later change could have the same time is read
again. An index that cannot be read or written, or is damaged, costs time, and nothing else. What is known of a stretch
of files stays a line of text until somebody asks for it."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
import zlib
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import Protocol

from ..archive.entry import Entry
from ..errors import RefusedError
from ..system.below import read_regular
from ..system.files import replace_file
from .cutting import Cut
from .references import Digester, Reference
from .stretch import INODE, KnownFile, Noted, Stretch, facts_of, first_name_of, known_files, line_of

__all__ = ["DigestIndex"]

logger = logging.getLogger(__name__)

_VERSION = 3
_LONGEST = 1024 * 1024 * 1024
#: Times of files are that exact, on the worst file system that is known (FAT, and clocks of servers).
_GRAIN_NS = 2_000_000_000
_NOTHING = KnownFile(0, ())


class IndexCipher(Protocol):
    """Encrypts and decrypts texts."""

    def seal_text(self, text: bytes) -> bytes: ...

    def open_text(self, sealed: bytes) -> bytes:
        """:raises RefusedError: it is none."""


class DigestIndex:
    """The index in the file ``path``. Its files are asked for and noted in the order of the list of files.

    :param cipher: encrypts the file.
    :param begun_ns: before anything that is noted was looked at, in nanoseconds since the epoch; default: now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        digester: Digester,
        cipher: IndexCipher | None = None,
        begun_ns: int | None = None,
    ) -> None:
        self._begun_ns = time.time_ns() if begun_ns is None else begun_ns
        self._cipher = cipher
        self._path = path
        #: Another key makes other digests.
        self._head = f"{_VERSION} {digester.digest(b'index').hex()}".encode()
        self._before = self._read()
        self._by_first = {first_name_of(line): line for line in self._before}
        self._now: list[bytes] = []
        self._open: list[Noted] = []

    def begin(self) -> None:
        """Nothing is noted yet."""
        self._now, self._open = [], []

    def stretch(self, first: Entry) -> Stretch | None:
        """What is known of the stretch that began with an entry of the name of ``first``."""
        line = self._by_first.get(encode_basestring_ascii(first.name))
        if line is not None:
            with contextlib.suppress(ValueError):
                return Stretch.of_line(line)
        return None

    def keep(self, stretch: Stretch) -> None:
        """It is as it was."""
        self._now.append(stretch.line)

    def known(self, entry: Entry) -> KnownFile | None:
        """What is known of the file of ``entry``, if it is as it was."""
        noted = self._files[0].get(entry.name)
        if noted is None or entry.identity is None or noted.facts[1:] != entry.identity:
            return None
        if sum(one.reference.size for one in noted.known.cuts) != entry.size:
            return None
        return noted.known

    def earlier_cuts(self, entry: Entry) -> tuple[Cut, ...]:
        """How the file was cut before it changed, or before it was renamed."""
        if entry.identity is None:
            return ()
        by_name, by_inode = self._files
        noted = by_name.get(entry.name) or by_inode.get(entry.identity[:INODE])
        return noted.known.cuts if noted is not None else ()

    def note(self, entry: Entry, known: KnownFile = _NOTHING, *, unchanged: bool = True) -> None:
        """Notes the next entry of a stretch, which the list of files has.

        :param unchanged: whether it was the same all the time that it was read.
        """
        newest = max(entry.identity[-1], entry.mtime_ns) if entry.identity is not None else self._begun_ns
        believed = unchanged and newest <= self._begun_ns - _GRAIN_NS
        self._open.append(Noted(entry.name, facts_of(entry, believed=believed), known))

    def end_stretch(self, pieces: list[Reference]) -> None:
        """What was noted since the last one is a stretch.

        :param pieces: how the manifest lists it; none if it lists something else between.
        """
        if self._open:
            self._now.append(line_of(self._open, pieces))
            self._open = []

    def save(self) -> None:
        """Keeps what was noted and kept; the rest is gone."""
        if self._now == self._before:
            return
        body = b"\n".join(self._now)
        data = b"%s %d\n%s" % (self._head, zlib.crc32(body), body)
        if self._cipher is not None:
            data = self._cipher.seal_text(data)
        try:
            replace_file(self._path, data)
        except OSError as exc:
            logger.info("cannot keep digests in %s: %s", self._path, exc.strerror)

    def _read(self) -> list[bytes]:
        with contextlib.suppress(OSError, ValueError, RefusedError):
            content = read_regular(self._path, _LONGEST)
            if self._cipher is not None:
                content = self._cipher.open_text(content)
            head, _, body = content.partition(b"\n")
            if head == b"%s %d" % (self._head, zlib.crc32(body)) and body:
                return body.split(b"\n")
        return []

    @functools.cached_property
    def _files(self) -> tuple[dict[str, Noted], dict[tuple[int, ...], Noted]]:
        """All files by their names; those that were cut by their inodes, because they may have other names by now."""
        by_name = {noted.name: noted for noted in self._all()}
        by_inode = {noted.facts[1 : 1 + INODE]: noted for noted in by_name.values() if len(noted.known.cuts) > 1}
        return by_name, by_inode

    def _all(self) -> Iterator[Noted]:
        for line in self._before:
            with contextlib.suppress(ValueError):
                yield from known_files(line)
