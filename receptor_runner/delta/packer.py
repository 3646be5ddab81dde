"""The archive that says of most files only which they are.

Rules: it is a zip. What belongs to no store, ``env`` first of all, is a member as ever. What is below ``project``,
``roles`` and ``inventory`` stands in a manifest, and its contents are members named by their digests, if the receiver
lacks them. Another thread reads and digests (``reading.py``) while this one packs."""

from __future__ import annotations

import stat
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from contextlib import closing
from typing import IO

from ..archive.collect import Report
from ..archive.entry import Entry
from ..archive.pack import ZipPacker
from ..system.ahead import ahead
from .digest_index import DigestIndex
from .manifest import PieceWriter, TreeEntry, write_root
from .reading import Content, FileReader, Read, is_kept
from .references import Digester, Reference

__all__ = ["BLOB", "MANIFEST", "DeltaPacker"]

#: No file of a job has such a name, because those are relative.
MANIFEST = "/manifest"
BLOB = "/"
#: So many bytes are read ahead of what is packed.
_AHEAD = 16 * 1024 * 1024
_FILE = stat.S_IFREG | 0o600


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
        #: The digests of all that the archive names.
        self.named: set[bytes] = set()
        self._zip = ZipPacker(file, report)
        self._report = report
        self._digester = digester
        self._index = index
        self._there = there

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
        reader = FileReader(self._report, self._digester, self._index, self._there)
        with closing(ahead(reader.read(entries), _weight, _AHEAD)) as items:
            yield from self._zip.pack(self._members(items))
        self._index.save()

    def _tell_plain(self, name: str, mode: int, size: int, crc: int) -> None:
        if self.told is not None and not name.startswith(BLOB):
            self.told(name, mode, size, crc)

    def _members(self, items: Iterator[Read]) -> Iterator[Entry]:
        writer = PieceWriter()
        pieces: list[Reference] = []
        for item in items:
            if type(item) is Content:
                yield _blob(item.reference, item.data)
            elif type(item) is TreeEntry:
                self._note(item)
                for piece in writer.add(item):
                    pieces.append((yield from self._piece(piece)))
            elif type(item) is Entry:
                yield item
        for piece in writer.rest():
            pieces.append((yield from self._piece(piece)))
        yield Entry(MANIFEST, _FILE, 0, data=write_root(pieces))

    def _note(self, entry: TreeEntry) -> None:
        self.named.update(one.digest for one in entry.references)
        if self.told is not None:
            self.told(entry.name, entry.mode, entry.size, entry.crc)

    def _piece(self, data: bytes) -> Generator[Entry, None, Reference]:
        reference = self._digester.reference(data)
        if reference.digest not in self._there and reference.digest not in self.named:
            yield _blob(reference, data)
        self.named.add(reference.digest)
        return reference


def _blob(reference: Reference, data: bytes) -> Entry:
    return Entry(BLOB + reference.digest.hex(), _FILE, 0, len(data), data=data)


def _weight(item: Read) -> int:
    return len(item.data) if type(item) is Content else 0
