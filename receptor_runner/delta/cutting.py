"""Cuts a file into contents: a small one is one, and a large one is cut where it was cut the last time if it can be.

Rules: what is read is described as it is read, and never held as a whole. A piece that is as before stays a piece, also
if it has moved: its first bytes are looked for, which takes a search and no arithmetic for each byte. So a changed line
in a file of any size makes one new piece, or two. Why no rolling hash: in Python it has a hundredth of the speed of a
disk, and no kept library has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .references import Digester, Reference

__all__ = ["CUT_FROM", "Cut", "cut"]

#: A file that is larger is cut.
CUT_FROM = 4 * 1024 * 1024
_PIECE = 256 * 1024
#: How far what comes behind a change is looked for, and by how many bytes of it.
_WINDOW = 4 * 1024 * 1024
_ANCHOR = 32
#: How many of the old pieces are looked for behind a change, and at how many places each.
_TRIED_PIECES = 16
_TRIED_PLACES = 8
#: After so many searches in vain the rest of the file is another one.
_MOST_MISSED = 8


class Cut(NamedTuple):
    """A piece of a file. ``anchor`` are its first bytes; a file that is not cut has none."""

    reference: Reference
    anchor: bytes


def cut(
    read: Callable[[int, int], bytes], size: int, before: Sequence[Cut], digester: Digester
) -> Iterator[tuple[Cut, bytes]]:
    """The pieces of a file, with their data.

    :param read: so many bytes from an offset on; fewer at the end.
    :param before: how it was cut the last time.
    """
    if size <= CUT_FROM:
        data = read(0, size)
        if data:
            yield Cut(digester.reference(data), b""), data
        return
    if len(before) > 2 * size // _PIECE + 2:
        before = ()  # it was cut to shreds by many changes
    place, known, missed = 0, 0, 0
    while place < size:
        if known < len(before) and missed < _MOST_MISSED:
            data = read(place, before[known].reference.size)
            if digester.agrees(before[known].reference, data):
                yield before[known], data
                place += len(data)
                known += 1
                missed = 0
                continue
            ahead, known = _found(read(place, min(_WINDOW, size - place)), before, known, digester)
            missed = 0 if ahead else missed + 1
        else:
            ahead = 0
        until = min(size, place + (ahead or _PIECE))
        while place < until:
            data = read(place, min(_PIECE, until - place))
            if not data:
                return
            yield Cut(digester.reference(data), data[:_ANCHOR]), data
            place += len(data)


def _found(window: bytes, before: Sequence[Cut], known: int, digester: Digester) -> tuple[int, int]:
    """How far ahead which of the old pieces begins; if none is found, 0 and the one behind the next."""
    for number in range(known, min(known + _TRIED_PIECES, len(before))):
        reference, anchor = before[number]
        place = 0
        for _ in range(_TRIED_PLACES):
            place = window.find(anchor, place + 1) if len(anchor) == _ANCHOR else -1
            if place < 0:
                break
            if digester.agrees(reference, window[place : place + reference.size]):
                return place, number
    return 0, known + 1
