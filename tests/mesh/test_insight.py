"""What is put together of events and of what a node answers; and answers of strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.inspection.answers import (
    Ending,
    HostWork,
    Inspection,
    ProcessSeen,
    read_ending,
    read_inspection,
    work_of,
)
from receptor_runner.mesh.insight import Moment, insight_of
from receptor_runner.results.history import JobHistory
from tests.support.strategies import json_values

PROCESS = ProcessSeen(7, 1, 3.0, 0.5, "sleeping", "sleep 9", "a")
NOW = Moment("j", "running", "exec1")
SEEN = Inspection(1767225610.0, 12.0, "", [HostWork(6, "a", "t")], [PROCESS])


def line(name: str, data: Any) -> bytes:
    return json.dumps({name: data}).encode() + b"\n"


def test_an_answer_is_read_as_it_was_written() -> None:
    assert read_inspection(line("inspection", SEEN.to_json())) == SEEN
    ending = Ending("", "t", gone=True, reported=True, ended=2, left=["7 sleep"])
    assert read_ending(line("ending", ending.to_json())) == ending


@pytest.mark.parametrize("answer", [b"", b"{}", b"{}\n", b"x\n", b"[" * 9000 + b"\n", line("inspection", 3)[:-1]])
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    assert read_inspection(answer) is None
    assert read_ending(answer) is None


@given(json_values)
def test_answers_of_strangers_are_read_for_what_they_are(value: Any) -> None:
    for data in (value, {**SEEN.to_json(), "work": value}, {**SEEN.to_json(), "processes": [value]}):
        found = read_inspection(line("inspection", data))
        assert found is None or all(isinstance(one.pid, int) for one in found.processes)
    read_ending(line("ending", value))
    work_of(value)


@given(st.sampled_from(["pid", "age", "cpu"]), st.sampled_from([True, 10**30, "1", None, [], -(10**30)]))
def test_a_number_that_is_none_leaves_its_process_out(name: str, value: Any) -> None:
    found = read_inspection(
        line("inspection", {**SEEN.to_json(), "processes": [{**SEEN.to_json()["processes"][0], name: value}]})
    )
    assert found is not None
    assert found.processes == []


def started(host: str) -> dict[str, Any]:
    return {
        "event": "runner_on_start",
        "created": "2026-01-01T00:00:00+00:00",
        "event_data": {"host": host, "task": "t", "task_uuid": "u", "play": "p", "task_path": "/x.yml:3"},
    }


def test_processes_are_joined_to_hosts_by_the_clock_of_the_node() -> None:
    history = JobHistory()
    history.take(started("a"))
    seen = insight_of(NOW, history, SEEN)
    (running,) = seen.running
    assert (running.host, running.path, running.seconds, running.pids) == ("a", "/x.yml:3", 10.0, [7])
    assert (seen.elapsed, seen.silent_for) == (12.0, 10.0)


def test_a_host_whose_event_is_on_its_way_is_told_by_the_node() -> None:
    seen = insight_of(NOW, JobHistory(), SEEN)
    assert [(one.host, one.task, one.pids) for one in seen.running] == [("a", "t", [7])]


def test_a_node_that_does_not_answer_leaves_what_events_tell() -> None:
    history = JobHistory()
    history.take(started("a"))
    seen = insight_of(NOW, history, None, "it does not answer")
    assert [one.host for one in seen.running] == ["a"]
    assert (seen.processes, seen.note) == ([], "it does not answer")


def test_a_line_without_an_end_is_a_question_if_somebody_reads_the_terminal() -> None:
    history = JobHistory()
    history.take({"event": "verbose", "stdout": "your move", "start_line": 0, "end_line": 0})
    assert insight_of(NOW, history, SEEN).asks is None
    reading = Inspection(1.0, processes=[ProcessSeen(7, 1, 3.0, 0.5, "sleeping", "x", None, reads=True)])
    assert insight_of(NOW, history, reading).asks == "your move"


def test_a_job_that_has_ended_asks_nothing_and_runs_for_no_host() -> None:
    history = JobHistory()
    history.take(started("a"))
    history.take({"event": "verbose", "stdout": "Go on?", "start_line": 0, "end_line": 0})
    seen = insight_of(Moment("j", "canceled", "exec1", ended=True), history)
    assert (seen.running, seen.asks, seen.silent_for) == ([], None, None)


def test_a_host_whose_end_is_on_its_way_does_not_run_any_more() -> None:
    history = JobHistory()
    for host in ("a", "b"):
        history.take(started(host))
    assert [one.host for one in insight_of(NOW, history, SEEN).running] == ["a"]
    later = Inspection(SEEN.time, work=[HostWork(6, "a", "the next")])
    assert [(one.task, one.path) for one in insight_of(NOW, history, later).running] == [("the next", "")]
