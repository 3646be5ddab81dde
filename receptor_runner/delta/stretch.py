"""What is known of a stretch of the list of files: of all from behind one name that ends a piece up to the next.

Rules: no IO. A stretch is one line of text, in columns, so that a stretch of which nothing has changed is recognised
without a look at what is known of each file: there may be very many. A line that is damaged is a ``ValueError``."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import encode_basestring_ascii as _text
from typing import NamedTuple

from ..archive.entry import Entry
from .cutting import Cut
from .references import DIGEST_BYTES, Reference

__all__ = ["INODE", "Facts", "KnownFile", "Noted", "Stretch", "facts_of", "first_name_of", "known_files", "line_of"]

#: Of an entry: its mode, and its identity (:class:`~receptor_runner.archive.entry.Entry`).
Facts = tuple[int, ...]
_FACTS = 6
_SIZE = 3
_UNKNOWN = -1
#: So much of an identity says which file it is.
INODE = 2


class KnownFile(NamedTuple):
    """``crc`` is that of the whole file, ``cuts`` are its contents in their order."""

    crc: int
    cuts: tuple[Cut, ...]


class Noted(NamedTuple):
    """What is to be kept of one entry. Only a file has a ``known`` that says something."""

    name: str
    facts: Facts
    known: KnownFile


class Stretch(NamedTuple):
    """A stretch whose entries can be recognised as a whole.

    ``digests`` are those of all contents of its files, ``pieces`` is how the manifest lists it, ``line`` is the text
    that it comes from.
    """

    names: list[str]
    facts: list[Facts]
    digests: list[bytes]
    pieces: list[Reference]
    line: bytes

    @classmethod
    def of_line(cls, line: bytes) -> Stretch:
        """:raises ValueError: it is none, or cannot be recognised."""
        _, names, facts, _, digests, _, pieces = line.split(b"\t")
        if not pieces:
            raise ValueError("it is not known how the manifest lists it")
        return cls(json.loads(names), _facts(facts), _digests(digests), list(map(_piece, pieces.split(b" "))), line)

    def has(self, number: int, entry: Entry) -> bool:
        """Whether ``entry`` is its entry with this ``number``, from 0 on, and is as it was."""
        return (
            entry.identity is not None
            and number < len(self.names)
            and self.names[number] == entry.name
            and self.facts[number] == (entry.mode, *entry.identity)
        )

    @property
    def size(self) -> int:
        """The sizes of all its entries, in bytes."""
        return sum(one[_SIZE] for one in self.facts)

    def files(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, mode, size and CRC-32 of each of its entries, as the manifest has them."""
        crcs = map(int, self.line.split(b"\t")[3].split(b" ")[::2])
        for name, facts, crc in zip(self.names, self.facts, crcs, strict=True):
            yield name, facts[0], 0 if stat.S_ISDIR(facts[0]) else facts[_SIZE], crc


def facts_of(entry: Entry, *, believed: bool) -> Facts:
    """:param believed: whether the identity will tell a change. If not, it only says which file it is."""
    identity = entry.identity or (_UNKNOWN,) * (_FACTS - 1)
    if believed and entry.size == identity[_SIZE - 1]:
        return entry.mode, *identity
    return entry.mode, *identity[:INODE], *(_UNKNOWN,) * (_FACTS - 1 - INODE)


def line_of(entries: Sequence[Noted], pieces: Iterable[Reference]) -> bytes:
    """The text of a stretch with at least one entry.

    :param pieces: how the manifest lists it; none if it is not to be recognised.
    """
    cuts = [cut for one in entries for cut in one.known.cuts]
    columns = (
        _text(entries[0].name),
        json.dumps([one.name for one in entries], separators=(",", ":")),
        " ".join(str(number) for one in entries for number in one.facts),
        " ".join(f"{one.known.crc} {len(one.known.cuts)}" for one in entries),
        "".join(one.reference.digest.hex() for one in cuts),
        " ".join(f"{one.reference.size}:{one.reference.crc}:{one.anchor.hex()}" for one in cuts),
        " ".join(f"{one.digest.hex()}:{one.size}:{one.crc}" for one in pieces),
    )
    return "\t".join(columns).encode("ascii")


def first_name_of(line: bytes) -> str:
    """The name of its first entry, as :func:`line_of` writes it."""
    return line.partition(b"\t")[0].decode("ascii")


def known_files(line: bytes) -> Iterator[Noted]:
    """What is known of each of its entries.

    :raises ValueError: the line is damaged.
    """
    _, names, facts, counts, digests, cuts, _ = line.split(b"\t")
    contents = zip(_digests(digests), cuts.decode("ascii").split(), strict=True)
    numbers = map(int, counts.split())
    for name, own, crc in zip(json.loads(names), _facts(facts), numbers, strict=False):
        known = tuple(_cut(*next(contents)) for _ in range(next(numbers)))
        yield Noted(name, own, KnownFile(crc, known))


def _facts(column: bytes) -> list[Facts]:
    return list(zip(*[map(int, column.split())] * _FACTS, strict=True))


def _digests(column: bytes) -> list[bytes]:
    joined = bytes.fromhex(column.decode("ascii"))
    return [joined[place : place + DIGEST_BYTES] for place in range(0, len(joined), DIGEST_BYTES)]


def _cut(digest: bytes, rest: str) -> Cut:
    size, crc, anchor = rest.split(":")
    return Cut(Reference(digest, int(size), int(crc)), bytes.fromhex(anchor))


def _piece(text: bytes) -> Reference:
    digest, size, crc = text.decode("ascii").split(":")
    return Reference(bytes.fromhex(digest), int(size), int(crc))
