"""Sinks: each is told in turn, and none but an essential one can end the delivery."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from receptor_runner.errors import OutputError
from receptor_runner.job.runner_config import RunnerConfig
from receptor_runner.results.handlers import Handlers, HandlerSink
from receptor_runner.results.queued_sink import QueuedSink
from receptor_runner.results.sinks import EventSink, Sinks

STATUS = {"status": "running"}


def event(counter: int) -> dict[str, Any]:
    return {"counter": counter, "uuid": f"u{counter}", "event": "verbose"}


class Notebook(EventSink):
    """Writes down what it is told."""

    def __init__(self, calls: list[str] | None = None, name: str = "") -> None:
        self.calls = calls if calls is not None else []
        self._name = name

    def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
        self.calls.append(f"{self._name}event {data['counter']}")
        return True

    def status(self, data: dict[str, Any]) -> None:
        self.calls.append(f"{self._name}status {data['status']}")

    def finished(self, result: Any) -> None:
        self.calls.append(f"{self._name}finished")


class Broken(EventSink):
    def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
        raise ZeroDivisionError("in the sink")


class Full(Broken):
    essential = True

    def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
        raise OutputError("no space left")


def test_sinks_are_told_in_their_order() -> None:
    calls: list[str] = []
    sinks = Sinks([Notebook(calls, "a "), Notebook(calls, "b ")])
    sinks.status_change(STATUS)
    sinks.event(event(1), b"")
    sinks.finished(None)
    assert calls == ["a status running", "b status running", "a event 1", "b event 1", "a finished", "b finished"]
    assert (sinks.status, sinks.events) == ("running", 1)


def test_a_false_answer_keeps_an_event_from_the_sinks_behind() -> None:
    behind = Notebook()
    handlers = Handlers(event=lambda data: data["counter"] != 2)
    sinks = Sinks([HandlerSink(handlers, RunnerConfig()), behind])
    for counter in (1, 2, 3):
        sinks.event(event(counter), b"")
    assert behind.calls == ["event 1", "event 3"]
    assert sinks.events == 3


def test_an_event_without_a_usable_name_reaches_no_sink(caplog: pytest.LogCaptureFixture) -> None:
    sink = Notebook()
    sinks = Sinks([sink])
    sinks.event({"counter": "../1", "uuid": "u"}, b"the line")
    assert (sink.calls, sinks.events) == ([], 0)
    assert "the line" in caplog.text


def test_a_sink_that_fails_gets_nothing_more_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    behind = Notebook()
    sinks = Sinks([Broken(), behind])
    for counter in (1, 2):
        sinks.event(event(counter), b"")
    assert behind.calls == ["event 1", "event 2"]
    assert caplog.text.count("ZeroDivisionError") == 1


def test_an_essential_sink_that_fails_ends_the_delivery() -> None:
    with pytest.raises(OutputError):
        Sinks([Full()]).event(event(1), b"")


def test_the_first_error_of_a_handler_is_kept_and_the_handler_not_called_again() -> None:
    calls = []

    def handler(data: dict[str, Any]) -> bool:
        calls.append(data["counter"])
        raise ZeroDivisionError("in the handler")

    sink = HandlerSink(Handlers(event=handler), RunnerConfig())
    sinks = Sinks([sink])
    for counter in (1, 2):
        sinks.event(event(counter), b"")
    assert calls == [1]
    assert sink.error is not None
    assert "ZeroDivisionError: in the handler" in sink.error


def test_what_a_handler_changes_is_what_the_sinks_behind_get() -> None:
    seen = []

    class Last(EventSink):
        def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
            seen.append((data["stdout"], raw))
            return True

    sinks = Sinks([HandlerSink(Handlers(event=lambda data: data.update(stdout="new") or True), RunnerConfig()), Last()])
    sinks.event({**event(1), "stdout": "old"}, b"the old line")
    assert seen == [("new", b"")]


def test_a_slow_sink_behind_a_queue_costs_nobody_time_and_says_what_it_missed(caplog: pytest.LogCaptureFixture) -> None:
    allowed = threading.Event()

    class Slow(Notebook):
        def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
            allowed.wait(60)
            return super().event(name, data, raw)

    slow = Slow()
    queued = QueuedSink(slow, size=3)
    sinks = Sinks([queued])
    for counter in range(1, 101):
        sinks.event(event(counter), b"")
    allowed.set()
    sinks.close()
    queued.settle()
    assert queued.dropped == 100 - len(slow.calls)
    assert 3 <= len(slow.calls) <= 4, "what fits into the queue, and what it was busy with"
    assert f"missed {queued.dropped} results" in caplog.text


def test_a_sink_behind_a_queue_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    queued = QueuedSink(Broken(), size=10)
    sinks = Sinks([queued])
    for counter in range(1, 6):
        sinks.event(event(counter), b"")
    sinks.close()
    queued.settle()
    assert queued.dropped == 5
    assert "ZeroDivisionError" in caplog.text


def test_a_sink_behind_a_queue_that_hangs_is_left(caplog: pytest.LogCaptureFixture) -> None:
    hang = threading.Event()

    class Hanging(EventSink):
        def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
            return hang.wait(60)

    queued = QueuedSink(Hanging(), size=10, seconds=0.05)
    sinks = Sinks([queued])
    for counter in range(1, 6):
        sinks.event(event(counter), b"")
    with caplog.at_level(logging.WARNING):
        sinks.close()
        queued.settle()
    hang.set()
    assert "missed" in caplog.text


def test_a_sink_behind_a_queue_is_flushed_and_closed() -> None:
    told = []

    class Buffered(EventSink):
        def event(self, name: str, data: dict[str, Any], raw: bytes) -> bool:
            told.append(name)
            return True

        def flush(self) -> None:
            told.append("flush")

        def close(self) -> None:
            told.append("close")

    queued = QueuedSink(Buffered(), size=10)
    sinks = Sinks([queued])
    sinks.event(event(1), b"")
    sinks.flush()
    sinks.close()
    queued.settle()
    assert told[1:] == ["flush", "close"]
