"""The archive that says of most files only which they are.

Rules: it is a zip. What belongs to no store, ``env`` first of all, is a member as ever. What is below ``project``,
``roles`` and ``inventory`` stands in a manifest, and its contents are members named by their digests, if the receiver
lacks them. What is large is compressed by other threads, while this one looks (``recognition.py``), reads and digests
(``reading.py``), lists (``listing.py``) and writes."""

from __future__ import annotations

import stat
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import closing
from typing import IO, TypeAlias

from ..archive.collect import Report
from ..archive.entry import Entry
from ..archive.pack import Squeezed, ZipPacker, squeezed
from ..system.in_threads import in_threads
from .digest_index import DigestIndex
from .listing import Listing
from .manifest import BLOB, TreeEntry
from .reading import Content, FileReader, Read, is_kept
from .recognition import recognised
from .references import Digester
from .stretch import Stretch

__all__ = ["DeltaPacker"]

#: From so many bytes on, to compress a content takes several times as long as to hand it over to another thread.
_LARGE = 32 * 1024
_FILE = stat.S_IFREG | 0o600
#: What was read; a large content is compressed by now.
_Packable: TypeAlias = Read | Squeezed


class DeltaPacker:
    """One archive being written to ``file``; a :class:`~receptor_runner.archive.format.Packer`.

    :param there: the digests of what the receiver should have.
    :param only_kept: what does not go through a store is left out.
    """

    def __init__(
        self,
        file: IO[bytes],
        report: Report,
        digester: Digester,
        index: DigestIndex,
        there: Container[bytes],
        *,
        only_kept: bool = False,
    ) -> None:
        self._only_kept = only_kept
        self.told: Callable[[str, int, int, int], None] | None = None
        self._reader = FileReader(report, digester, index, there)
        self._listing = Listing(digester, index, there)
        self._zip = ZipPacker(file, report)
        self._index = index
        self._there = there

    @property
    def named(self) -> set[bytes]:
        """The digests of all that the archive names."""
        return self._listing.named

    @property
    def size(self) -> int:
        return self._zip.size

    @property
    def acceptable(self) -> bool:
        return self._zip.acceptable

    @property
    def sha256(self) -> str:
        return self._zip.sha256

    def chunks(self) -> Iterator[bytes]:
        return self._zip.chunks()

    def pack(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Writes ``entries`` and the end of the archive, yielding often. What no receiver takes is left out and told.

        :raises OutputError: the file cannot be written, most likely because the disk is full.
        """
        if self.told is not None:
            self._zip.told = self._tell_plain
        if self._only_kept:
            entries = (entry for entry in entries if is_kept(entry.name))
        self._index.begin()
        read = self._reader.read(recognised(entries, self._index, self._there))
        listed: Iterable[_Packable] = self._listing.listed(read)
        with closing(in_threads(listed, _compressed, _size, _LARGE)) as items:
            yield from self._zip.pack(self._members(items))
        self._index.save()

    def _tell_plain(self, name: str, mode: int, size: int, crc: int) -> None:
        if self.told is not None and not name.startswith(BLOB):
            self.told(name, mode, size, crc)

    def _members(self, items: Iterator[_Packable]) -> Iterator[Entry | Squeezed | None]:
        """The members, and None in the place of all else."""
        for item in items:
            if isinstance(item, Content):
                yield _blob(item)
            elif item is None or isinstance(item, (Entry, Squeezed)):
                yield item
            else:
                if self.told is not None:
                    for told in _told(item):
                        self.told(*told)
                yield None


def _told(item: TreeEntry | Stretch) -> Iterable[tuple[str, int, int, int]]:
    """Name, mode, size and CRC-32."""
    if isinstance(item, Stretch):
        return item.files()
    return ((item.name, item.mode, item.size, item.crc),)


def _blob(content: Content) -> Entry:
    return Entry(BLOB + content.reference.digest.hex(), _FILE, 0, len(content.data), data=content.data)


def _size(item: _Packable) -> int:
    return len(item.data) if isinstance(item, Content) else 0


def _compressed(item: _Packable) -> _Packable:
    return squeezed(_blob(item), item.data) if isinstance(item, Content) else item
