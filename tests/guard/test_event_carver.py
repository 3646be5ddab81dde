"""Carving events out of output: frames are found wherever they are split, and nobody without the key makes one."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.guard.event_carver import Carver
from receptor_runner.limits import MAX_EVENT_TEXT, MAX_VERBOSE_TEXT
from tests.support.frames import KEY, event, frame
from tests.support.strategies import splits


def carve(*pieces: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    carver = Carver(KEY, "job")
    text = b"".join([*(carver.receive(piece) for piece in pieces), carver.finish()])
    return text, [json.loads(line) for line in carver.lines]


STREAM = (
    b"before\r\npart"
    + frame(1, "o", event("one", event_data={"x": "\x1b_rr;"}))
    + b"text of one\r\n\r\nmore\r\n"
    + frame(2, "c")
    + frame(3, "o", event("silent"))
    + frame(4, "c")
    + frame(5, "d", event("nothing shown"))
    + frame(6, "c")
    + b"between \x1b_rr;1;o;5 and \x1b_rr;\r\n"
    + frame(7, "o", event("two"))
    + "ünï\r\n".encode()
    + frame(8, "c")
    + b"no newline"
)


def test_text_and_events_are_told_apart() -> None:
    text, events = carve(STREAM)
    assert (
        text.decode()
        == "before\r\nparttext of one\r\n\r\nmore\r\nbetween \x1b_rr;1;o;5 and \x1b_rr;\r\nünï\r\nno newline"
    )
    assert [(e["counter"], e["event"], e["stdout"], e["start_line"], e["end_line"]) for e in events] == [
        (1, "verbose", "before", 0, 1),
        (2, "verbose", "part", 1, 1),
        (3, "one", "text of one\r\n\r\nmore", 1, 4),
        (4, "silent", "", 4, 4),
        (5, "verbose", "between \x1b_rr;1;o;5 and \x1b_rr;", 4, 5),
        (6, "two", "ünï", 5, 6),
        (7, "verbose", "no newline", 6, 6),
    ]
    assert all(e["runner_ident"] == "job" for e in events)


@given(st.data())
def test_every_split_carves_the_same(data: st.DataObject) -> None:
    def comparable(result: tuple[bytes, list[dict[str, Any]]]) -> Any:
        return result[0], [{k: v for k, v in e.items() if k not in ("uuid", "created")} for e in result[1]]

    assert comparable(carve(*data.draw(splits(STREAM)))) == comparable(carve(STREAM))


@given(st.binary(max_size=100), st.integers(0, 99))
def test_only_the_key_makes_a_frame(noise: bytes, sequence: int) -> None:
    forged = frame(sequence, "o", event("playbook_on_stats"), key=b"another key of 32 bytes.........")
    text, events = carve(noise + forged)
    assert text == noise + forged
    assert {e["event"] for e in events} == {"verbose"}


def test_nothing_is_said_twice_behind_a_damaged_frame_wherever_it_is_split() -> None:
    """Its end may look like the beginning of a frame."""
    damaged = frame(1, "o", event("one"))[:-2] + b"\x1b_"
    stream = b"before" + damaged + b"rr" + b"after"
    for split in range(1, len(stream)):
        text, events = carve(stream[:split], stream[split:])
        assert text == stream
        assert "".join(one["stdout"] for one in events).encode() == stream


def test_a_flood_of_lines_becomes_few_events_and_loses_nothing() -> None:
    carver = Carver(KEY, "job")
    carver.plain_room = 3
    for _ in range(10):
        carver.receive(b"line\r\n" * 1000)
        carver.end_lines()
    carver.receive(b"the last, without an end")
    carver.finish()
    events = [json.loads(line) for line in carver.lines]
    assert len(events) == 3 + 10 + 1
    assert sum(one["stdout"].count("line") for one in events) == 10_000
    assert [one["start_line"] for one in events[1:]] == [one["end_line"] for one in events[:-1]]
    assert events[-1]["stdout"] == "the last, without an end"


def test_a_frame_counts_once_and_only_forward() -> None:
    first = frame(5, "o", event("one")) + b"x\n" + frame(6, "c")
    _, events = carve(first + first + frame(4, "o", event("late")))
    assert [e["event"] for e in events] == ["one", "verbose", "verbose"]


def test_a_frame_with_something_in_its_middle_is_text() -> None:
    whole = frame(1, "o", event("one"))
    broken = whole[:60] + b"!" + whole[60:]
    text, events = carve(broken + b"\n" + frame(2, "o", event("two")) + b"shown\n" + frame(3, "c"))
    assert b"shown" in text
    assert events[-1]["event"] in ("two", "verbose")
    assert b"!" in text


def test_marks_without_end_cost_no_more_than_their_size() -> None:
    started = time.process_time()
    carver = Carver(KEY, "job")
    chunk = b"\x1b_rr;" * 800 + b"\n"
    for _ in range(1000):
        carver.receive(chunk)
        carver.lines.clear()
    assert time.process_time() - started < 20


def test_what_is_held_is_bounded() -> None:
    """An event with more text than the limit leaves with what it has; the rest follows in verbose events."""
    carver = Carver(KEY, "job")
    carver.receive(frame(1, "o", event("big")))
    total = 0
    longest = 0
    for _ in range(100):
        carver.receive(b"y" * 200_000)
        total += sum(len(json.loads(line)["stdout"]) for line in carver.lines)
        longest = max([longest, *map(len, carver.lines)])
        carver.lines.clear()
    carver.receive(frame(2, "c"))
    total += sum(len(json.loads(line)["stdout"]) for line in carver.lines)
    assert total == 100 * 200_000
    assert longest <= MAX_EVENT_TEXT + 1000
    assert MAX_VERBOSE_TEXT < MAX_EVENT_TEXT
