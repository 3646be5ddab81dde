"""Lists what was read: makes the manifest of an archive, in pieces, and notes what is known of its files.

Rules: no IO. What comes in goes out in its order; behind it comes what the receiver lacks of the manifest."""

from __future__ import annotations

import stat
from collections.abc import Container, Generator, Iterable, Iterator

from ..archive.entry import Entry
from .digest_index import DigestIndex
from .manifest import MANIFEST, PieceWriter, TreeEntry, write_root
from .reading import Content, Read
from .references import Digester, Reference
from .stretch import Stretch

__all__ = ["Listing"]

_FILE = stat.S_IFREG | 0o600


class Listing:
    """The manifest of one archive.

    :param there: the digests of what the receiver should have.
    """

    def __init__(self, digester: Digester, index: DigestIndex, there: Container[bytes]) -> None:
        #: The digests of all that the archive names.
        self.named: set[bytes] = set()
        self._digester = digester
        self._index = index
        self._there = there
        self._writer = PieceWriter()
        self._pieces: list[Reference] = []
        #: How many of them list earlier stretches, and whether something else came in the middle of this one.
        self._before = 0
        self._is_broken = False

    def listed(self, items: Iterable[Read]) -> Generator[Read, None, None]:
        """``items``, with the pieces of the manifest and its root."""
        for item in items:
            yield item
            if isinstance(item, TreeEntry):
                self.named.update(one.digest for one in item.references)
                yield from self._lacked(self._writer.add(item))
                if self._writer.is_between:
                    self._end_stretch()
            elif isinstance(item, Stretch):
                yield from self._end()
                self._recognise(item)
            elif isinstance(item, Entry):
                self._is_broken = self._is_broken or not self._writer.is_between
        yield from self._end()
        yield Entry(MANIFEST, _FILE, 0, data=write_root(self._pieces))

    def _end(self) -> Iterator[Content]:
        yield from self._lacked(self._writer.rest())
        self._end_stretch()

    def _end_stretch(self) -> None:
        self._index.end_stretch([] if self._is_broken else self._pieces[self._before :])
        self._before, self._is_broken = len(self._pieces), False

    def _recognise(self, stretch: Stretch) -> None:
        self._index.keep(stretch)
        self._pieces += stretch.pieces
        self._before = len(self._pieces)
        self.named.update(stretch.digests)
        self.named.update(one.digest for one in stretch.pieces)

    def _lacked(self, pieces: Iterable[bytes]) -> Iterator[Content]:
        for data in pieces:
            reference = self._digester.reference(data)
            self._pieces.append(reference)
            if reference.digest not in self._there and reference.digest not in self.named:
                yield Content(reference, data)
            self.named.add(reference.digest)
