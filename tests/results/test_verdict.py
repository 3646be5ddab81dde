"""One judge: each row of the tables in docs/mesh.md and docs/exit-status.md, and no success without proof."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor_runner.errors import (
    ArchiveError,
    ConfigurationError,
    InputError,
    Interrupted,
    LostError,
    OutputError,
    ProtocolError,
    RefusedError,
    TruncatedStreamError,
    UnreachableError,
)
from receptor_runner.results.verdict import Evidence, Verdict, judge, verdict_of


def last(status: str, **extension: Any) -> dict[str, Any]:
    return {"status": status, **({"receptor_runner": extension} if extension else {})}


@pytest.mark.parametrize(
    ("status", "rc", "told", "state", "code"),
    [
        ("successful", 0, 0, "successful", 0),
        ("successful", None, None, "successful", 0),
        ("failed", 2, 2, "failed", 2),
        ("failed", 4, None, "failed", 4),
        ("failed", 99, None, "failed", 99),
        ("failed", 250, None, "failed", 250),
        ("failed", 57, None, "failed", 1),
        ("failed", None, None, "failed", 1),
        ("canceled", 254, None, "canceled", 130),
        ("timeout", 254, None, "timeout", 124),
        ("error", None, 78, "error", 78),
        ("error", None, None, "error", 70),
        ("error", None, 74, "lost", 74),
        ("a status of the future", 0, 0, "a status of the future", 70),
    ],
)
def test_a_whole_stream_is_judged_by_its_last_status(
    status: str, rc: int | None, told: int | None, state: str, code: int
) -> None:
    verdict = judge(Evidence(last(status, exit_status=told), ended=True, rc=rc))
    assert (verdict.state, verdict.exit_code) == (state, code)


@pytest.mark.parametrize("told", [0, 9999, -1, True, "2", None])
def test_a_failed_job_never_ends_with_0_whatever_its_worker_told(told: Any) -> None:
    verdict = judge(Evidence(last("failed", exit_status=told), ended=True))
    assert (verdict.state, verdict.exit_code) == ("failed", 1)


@pytest.mark.parametrize("told", [0, 256, -1, "70"])
def test_an_error_never_ends_with_0_whatever_its_worker_told(told: Any) -> None:
    assert judge(Evidence(last("error", exit_status=told), ended=True)).exit_code == 70


@pytest.mark.parametrize(
    ("fault", "state", "status", "code"),
    [
        (Interrupted("cancelled"), "canceled", "canceled", 130),
        (UnreachableError("expired"), "error", "error", 69),
        (RefusedError("signature"), "error", "error", 77),
        (ConfigurationError("no command"), "error", "error", 78),
        (LostError("its runner is gone"), "lost", "error", 74),
        (TruncatedStreamError("stops at byte 5"), "truncated", "error", 76),
        (ProtocolError("a long line", 9), "truncated", "error", 76),
        (ArchiveError("damaged"), "truncated", "error", 76),
        (OutputError("full"), "error", "error", 73),
        (InputError("unreadable"), "error", "error", 66),
        (ZeroDivisionError("a fault of ours"), "error", "error", 70),
    ],
)
def test_a_stream_without_an_end_is_judged_by_what_cut_it(fault: Exception, state: str, status: str, code: int) -> None:
    """Also when its last status was a success."""
    for status_line in ({}, last("running"), last("successful", exit_status=0, events=3)):
        verdict = judge(Evidence(status_line, events=3, fault=fault))
        assert (verdict.state, verdict.status, verdict.exit_code) == (state, status, code)
        assert verdict.explanation == str(fault)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(ended=True),
        Evidence(last("starting"), ended=True),
        Evidence(last("running"), ended=True),
        Evidence(last("successful"), ended=False),
        Evidence(last("successful"), ended=True, rc=2),
        Evidence(last("successful", exit_status=2), ended=True, rc=0),
        Evidence(last("successful", exit_status=-1), ended=True),
    ],
)
def test_a_success_that_is_not_proven_is_truncated(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert (verdict.state, verdict.status, verdict.exit_code) == ("truncated", "error", 76)


@pytest.mark.parametrize(
    ("told", "arrived", "highest", "missing"),
    [
        (3, 3, 3, 0),
        (3, 2, 3, 1),
        (3, 2, 2, 1),
        (None, 2, 7, 5),
        (3, 4, 4, 0),
        (0, 1, 1, 0),
        (3, None, 0, 0),
        ("x", 1, 1, 0),
    ],
)
def test_lost_events_make_an_incomplete_record_and_no_other_status(
    told: Any, arrived: int | None, highest: int, missing: int
) -> None:
    verdict = judge(Evidence(last("successful", events=told), ended=True, events=arrived, highest=highest))
    assert (verdict.state, verdict.exit_code) == ("successful", 0)
    assert (verdict.missing_events, verdict.complete) == (missing, missing == 0)


@pytest.mark.parametrize("rc", [None, 0, 2, 57, 254, -9])
@pytest.mark.parametrize("told", [None, 0, 2, 57, 256])
@pytest.mark.parametrize("status", ["successful", "failed", "canceled", "timeout", "error"])
def test_every_contradiction_has_one_answer(status: str, told: int | None, rc: int | None) -> None:
    """The last status decides, and a success that anything speaks against is none."""
    code = judge(Evidence(last(status, exit_status=told), ended=True, rc=rc)).exit_code
    if status == "successful":
        assert code == (0 if not told and not rc else 76)
    elif status == "failed":
        assert code == (2 if 2 in (rc, told) else 1)
    elif status == "error":
        assert code == (told if told in (2, 57) else 70)
    else:
        assert code == {"canceled": 130, "timeout": 124}[status]


@given(
    st.dictionaries(
        st.sampled_from(["status", "receptor_runner", "job_explanation"]), st.none() | st.text() | st.integers()
    ),
    st.booleans(),
)
def test_only_a_proven_success_ends_with_0(line: dict[str, Any], ended: bool) -> None:
    verdict = judge(Evidence(line, ended=ended))
    assert (verdict.exit_code == 0) == (ended and line.get("status") == "successful")


def test_a_verdict_carries_what_the_job_told() -> None:
    line = {**last("failed", exit_status=2), "job_explanation": "two hosts failed"}
    assert judge(Evidence(line, ended=True, rc=2)) == Verdict("failed", "failed", 2, 2, "two hosts failed")
    assert verdict_of("successful", 0) == Verdict("successful", "successful", 0, 0)
