"""Reading a stream without a source: whole items, whatever the pieces, and another reader goes on where one stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.errors import LimitError, TruncatedStreamError
from receptor_runner.limits import DEFAULT_LIMITS, StreamLimits
from receptor_runner.stream.archive_receiver import ArchiveReceiver
from receptor_runner.stream.codec import END_OF_STREAM, KEEPALIVE
from receptor_runner.stream.messages import EndOfStream, JobEvent, Keepalive, Status
from receptor_runner.stream.reader import Item, StreamReader
from tests.support.archives import FILE
from tests.support.strategies import splits
from tests.support.streams import archive, event, final, results

STREAM = (
    KEEPALIVE
    + event(1, "u1")
    + b"motd: welcome\n"
    + archive(("a", FILE, b"first"))
    + event(2, "u2")
    + archive(("b", FILE, b"second"))
    + final("successful")
    + END_OF_STREAM
)


def told(item: Item) -> Any:
    """What can be compared of an item."""
    if isinstance(item, ArchiveReceiver):
        return "archive"
    return item.data["counter"] if isinstance(item, JobEvent) else type(item).__name__


def read(reader: StreamReader, *pieces: bytes) -> list[Any]:
    return [told(item) for piece in pieces for item in reader.feed(piece)]


ITEMS = ["Keepalive", 1, "Foreign", "archive", 2, "archive", "Status", "EndOfStream"]


@given(st.data())
def test_every_split_gives_the_same_items(data: st.DataObject) -> None:
    reader = StreamReader()
    assert read(reader, *(piece for piece in data.draw(splits(STREAM)) if piece)) == ITEMS
    assert reader.finished
    assert reader.foreign == b"motd: welcome\n"


@given(st.integers(1, 64), st.integers(0, len(ITEMS) - 1))
def test_another_reader_goes_on_behind_the_last_item_that_was_handled(size: int, stop_after: int) -> None:
    first = StreamReader()
    handled: list[Any] = []
    position = (0, 0)
    for begin in range(0, len(STREAM), size):
        for item in first.feed(STREAM[begin : begin + size]):
            if len(handled) == stop_after:
                break
            handled.append(told(item))
            position = (first.boundary, first.done)
        else:
            if not first.finished:
                position = (first.boundary, first.done)
            continue
        break
    first.close()
    start, skip = position
    second = StreamReader(start=start, skip=skip)
    assert handled + read(second, STREAM[start:]) == ITEMS


def test_an_archive_is_extracted_while_it_is_at_hand(tmp_path: Path) -> None:
    reader = StreamReader()
    for item in reader.feed(STREAM):
        if isinstance(item, ArchiveReceiver):
            for _ in item.extract(str(tmp_path), DEFAULT_LIMITS):
                pass
    assert (tmp_path / "a").read_text() + (tmp_path / "b").read_text() == "firstsecond"


def test_a_reader_that_wants_no_archives_passes_them_over() -> None:
    reader = StreamReader(archives=False)
    assert read(reader, STREAM) == [item for item in ITEMS if item != "archive"]


@pytest.mark.parametrize("end", [0, 10, len(STREAM) // 2, len(STREAM) - 2])
def test_the_end_of_the_input_before_the_end_mark_is_an_error_that_says_where(end: int) -> None:
    reader = StreamReader()
    read(reader, STREAM[:end] or KEEPALIVE)
    with pytest.raises(TruncatedStreamError, match="ended"):
        list(reader.feed(b""))
    reader.close()


def test_what_follows_the_end_mark_is_left_alone() -> None:
    reader = StreamReader()
    assert read(reader, results() + b"(abc, released)\n")[-1] == "EndOfStream"
    assert read(reader, b"more") == []


def test_a_line_beyond_the_limit_is_refused_before_it_is_whole() -> None:
    with pytest.raises(LimitError, match="longer than 100 bytes"):
        list(StreamReader(StreamLimits(line=100)).feed(b"x" * 101))


def test_items_are_messages_of_the_protocol() -> None:
    kinds = [type(item) for item in StreamReader(archives=False).feed(STREAM)]
    assert kinds[0] is Keepalive
    assert kinds[-2:] == [Status, EndOfStream]
