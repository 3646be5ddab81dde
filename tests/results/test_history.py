"""What is made of events: who works on what, how each ended, and what is asked; also of events that are missing or
odd.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.results.history import JobHistory, moment, result_text
from receptor_runner.results.masked_events import EventMasker
from tests.support.made_jobs import made_events
from tests.support.strategies import json_values

TASK = {"task": "t", "task_uuid": "u", "play": "p", "play_uuid": "P"}


def event(name: str, created: str = "2026-01-01T00:00:00+00:00", **data: Any) -> dict[str, Any]:
    return {"event": name, "created": created, "counter": 1, "uuid": "x", "event_data": {**TASK, **data}}


def test_a_host_works_from_its_start_to_its_end() -> None:
    history = JobHistory()
    history.take(event("runner_on_start", host="a"))
    history.take(event("runner_on_start", host="b", created="2026-01-01T00:00:01+00:00"))
    assert [one.host for one in history.running] == ["a", "b"]
    done = history.take(event("runner_on_ok", host="a", created="2026-01-01T00:00:03+00:00", res={"changed": True}))
    assert done is not None
    assert (done.outcome, done.seconds) == ("changed", 3.0)
    assert [one.host for one in history.running] == ["b"]
    history.take(event("runner_on_start", host="b", task="next", task_uuid="v"))
    assert [one.task.name for one in history.running] == ["next"], "the end of the first was lost"
    history.take(event("playbook_on_stats"))
    assert history.running == []


@pytest.mark.parametrize(
    ("name", "data", "outcome"),
    [
        ("runner_on_failed", {}, "failed"),
        ("runner_on_failed", {"ignore_errors": True}, "ignored"),
        ("runner_on_unreachable", {}, "unreachable"),
        ("runner_on_skipped", {}, "skipped"),
        ("runner_on_ok", {"res": {"changed": False}}, "ok"),
    ],
)
def test_each_end_has_an_outcome(name: str, data: dict[str, Any], outcome: str) -> None:
    history = JobHistory()
    done = history.take(event(name, host="a", start="2026-01-01T00:00:00", **data))
    assert done is not None
    assert done.outcome == outcome
    assert history.counts == {"a": {outcome: 1}}


def test_a_host_counts_once_and_for_the_worst() -> None:
    history = JobHistory()
    for one in made_events(4, 4):
        history.take(one)
    assert history.totals() == {"ok": 1, "changed": 2, "failed": 1, "unreachable": 0, "skipped": 0} or (
        history.totals()["failed"] == 1 and sum(history.totals().values()) == 4
    )
    assert list(history.failed_hosts()) == ["web0.example.org"]
    assert len(history.tasks) == 4


@pytest.mark.parametrize(
    ("stdout", "lines", "asked"),
    [
        ("SSH password: ", 0, "SSH password:"),
        ("Go on? [y/N]", 0, "Go on? [y/N]"),
        ("done:", 1, ""),
        ("working", 0, ""),
    ],
)
def test_a_line_without_an_end_may_be_a_question(stdout: str, lines: int, asked: str) -> None:
    history = JobHistory()
    history.take({"event": "verbose", "stdout": stdout, "start_line": 0, "end_line": lines})
    assert history.question == asked


def test_a_pause_asks_though_its_line_has_an_end() -> None:
    history = JobHistory()
    heading = event("playbook_on_task_start", resolved_action="ansible.builtin.pause")
    history.take(heading | {"stdout": "\r\nTASK [ask] ****", "start_line": 0, "end_line": 2})
    history.take(event("runner_on_start", host="a", resolved_action="ansible.builtin.pause"))
    assert history.question == "", "it has not asked yet"
    history.take({"event": "verbose", "stdout": "[ask]\r\nGo on:", "start_line": 0, "end_line": 2})
    assert history.question == "Go on:"
    history.take({"event": "verbose", "stdout": "(ctrl+C then 'C' = continue early)", "start_line": 2, "end_line": 3})
    assert history.question == "", "a pause of some seconds asks nobody"


@given(st.lists(json_values))
def test_events_of_any_shape_are_taken(events: list[Any]) -> None:
    history, masker = JobHistory(), EventMasker(["hush-hush"])
    for one in events:
        for odd in (
            one,
            {"event": one, "event_data": {"host": "h"}},
            {"event": "runner_on_ok", "event_data": one},
            event("runner_on_failed", host="h", res=one),
        ):
            if isinstance(odd, dict):
                history.take(odd)
                json.dumps(masker.event(odd))
    assert all(outcome for outcome in history.hosts.values())


@given(st.text())
def test_any_text_may_stand_for_a_time(text: str) -> None:
    assert moment(text) is None or isinstance(moment(text), float)


def test_what_a_result_says_is_its_reason_first() -> None:
    failed = {"msg": "no", "stderr": "because", "stdout": "first", "rc": 3}
    assert result_text(failed, failed=True) == "no (rc 3)\nbecause\nfirst"
    assert result_text(failed, failed=False) == "no"
    assert result_text({"msg": "broken", "module_stderr": "no python"}, failed=True) == "broken\nno python"
    items = [{"item": "a", "msg": "x"}, {"item": "b", "failed": True, "msg": "y"}]
    assert result_text({"msg": "One or more items failed", "results": items}, failed=True).endswith("(item=b) y")
    assert result_text({"stdout": "out", "censored": "hidden"}, failed=True) == "hidden"
    assert result_text({"rc": 1}, failed=True) == ""


def test_what_was_rescued_is_no_failure() -> None:
    history = JobHistory()
    for uuid, name in (("u1", "runner_on_failed"), ("u2", "runner_on_ok"), ("u3", "runner_on_failed")):
        history.take(event("runner_on_start", host="a", task_uuid=uuid))
        if uuid == "u2":
            assert history.totals()["failed"] == 0, "it goes on"
        history.take(event(name, host="a", task_uuid=uuid))
    history.take(event("playbook_on_stats", rescued={"a": 1}, failures={"a": 1}))
    assert history.counts["a"] == {"failed": 1, "rescued": 1, "ok": 1}
    assert list(history.failed_hosts()) == ["a"]
    other = JobHistory()
    other.take(event("runner_on_failed", host="a"))
    for _ in range(2):  # a second one says nothing new
        other.take(event("playbook_on_stats", rescued={"a": 1}))
    assert other.counts["a"] == {"failed": 0, "rescued": 1}
    assert list(other.failed_hosts()) == []


def test_a_host_that_got_over_a_failure_counts_for_what_it_did() -> None:
    history = JobHistory()
    history.take(event("runner_on_failed", host="a", ignore_errors=True))
    history.take(event("runner_on_ok", host="a", task_uuid="v", res={"changed": True}))
    assert history.totals()["changed"] == 1


def test_a_path_is_told_as_the_project_has_it() -> None:
    history = JobHistory()
    history.take(event("playbook_on_start", playbook="site.yml"))
    at = "/tmp/receptor-runner-x1/project"
    history.take(event("playbook_on_task_start", task_uuid="a", task_path=f"{at}/site.yml:3"))
    history.take(event("playbook_on_task_start", task_uuid="b", task_path=f"{at}/roles/r/tasks/main.yml:1"))
    history.take(event("playbook_on_task_start", task_uuid="c", task_path="/usr/share/collections/x.yml:9"))
    assert [one.path for one in history.tasks] == [
        "site.yml:3",
        "roles/r/tasks/main.yml:1",
        "/usr/share/collections/x.yml:9",
    ]
    role = JobHistory()
    role.take(event("playbook_on_start", playbook="main.yml"))
    role.take(event("playbook_on_task_start", task_path="/runner/project/roles/a/tasks/main.yml:3"))
    role.take(event("playbook_on_task_start", task_uuid="b", task_path="/opt/c/roles/project/tasks/x.yml:4"))
    assert [one.path for one in role.tasks] == ["roles/a/tasks/main.yml:3", "/opt/c/roles/project/tasks/x.yml:4"]


def test_what_is_hidden_elsewhere_is_hidden_here() -> None:
    masker = EventMasker(["opensesame"])
    shown = masker.event(
        {
            "stdout": "token=abcdef12345 opensesame",
            "event_data": {
                "host": "h",
                "res": {
                    "results": [{"_ansible_no_log": True, "stdout": "HIDDEN"}, {"stdout": "shown"}],
                    "api_key": "abc",
                },
            },
        }
    )
    text = json.dumps(shown)
    assert not any(word in text for word in ("opensesame", "abcdef12345", "HIDDEN", '"abc"'))
    assert "shown" in text
    whole = masker.event({"event_data": {"res": {"_ansible_no_log": True, "stdout": "HIDDEN"}}})
    assert "HIDDEN" not in json.dumps(whole)
