"""Finds in the entries of a directory whole stretches that are as they were.

Rules: an entry is looked at here, and nothing is read. What a receiver may lack is not recognised. The order of entries
stays. The directory of an entry that was held back is closed by then, so that one would be opened by its path."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from ..archive.entry import Entry
from .digest_index import DigestIndex
from .manifest import ends_piece
from .reading import is_kept
from .stretch import Stretch

__all__ = ["recognised"]


def recognised(entries: Iterable[Entry], index: DigestIndex, there: Container[bytes]) -> Iterator[Entry | Stretch]:
    """The entries. In the place of those of a stretch that is as it was there is that stretch.

    :param there: the digests of what the receiver should have.
    """
    stretch: Stretch | None = None
    held: list[Entry] = []
    begins = True
    for entry in entries:
        if not is_kept(entry.name):
            yield from (one.for_later for one in held)
            yield entry
            stretch, held = None, []
            continue
        if begins:
            stretch, begins = _candidate(index.stretch(entry), there), False
        if stretch is None:
            yield entry
            begins = ends_piece(entry.name)
        elif not stretch.has(len(held), entry):
            yield from (one.for_later for one in held)
            yield entry
            stretch, held, begins = None, [], ends_piece(entry.name)
        else:
            held.append(entry)
            if len(held) == len(stretch.names) and ends_piece(entry.name):
                yield stretch
                stretch, held, begins = None, [], True
    if stretch is not None and len(held) == len(stretch.names):
        yield stretch
    else:
        yield from (one.for_later for one in held)


def _candidate(stretch: Stretch | None, there: Container[bytes]) -> Stretch | None:
    if stretch is None or not all(one.digest in there for one in stretch.pieces):
        return None
    return stretch if all(map(there.__contains__, stretch.digests)) else None
