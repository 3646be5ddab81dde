"""However one asks how a job ended, the answer is the same, and none but a proven success is 0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptor_runner import Mesh as Client
from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.commands import ours
from tests.support.nodes import BOTH, Mesh, running
from tests.support.streams import RUNNING, STARTING, event, final, foreign_results, results
from tests.support.units import ended_unit

pytestmark = pytest.mark.slow

EVENT = event(1, "u1")


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


@pytest.mark.parametrize(
    ("stream", "state", "code"),
    [
        pytest.param(results("successful", 0, events=1), "successful", 0, id="success"),
        pytest.param(results("failed", 2, events=1, exit_status=2), "failed", 2, id="failure"),
        pytest.param(foreign_results("failed", 2, events=1), "failed", 2, id="failure-of-ansible-runner"),
        pytest.param(foreign_results("failed", 250, events=1), "failed", 250, id="bad-options-of-ansible-runner"),
        pytest.param(foreign_results("failed", 42, events=1), "failed", 1, id="odd-code-of-ansible-runner"),
        pytest.param(
            STARTING + EVENT + final("failed", exit_status=0) + END_OF_STREAM, "failed", 1, id="failed-told-0"
        ),
        pytest.param(STARTING + final("failed", exit_status=9999) + END_OF_STREAM, "failed", 1, id="failed-told-9999"),
        pytest.param(STARTING + final("error", exit_status=0) + END_OF_STREAM, "error", 70, id="error-told-0"),
        pytest.param(STARTING + final("successful", events=2) + END_OF_STREAM, "successful", 0, id="lost-events"),
        pytest.param(results("successful", 3, events=1), "truncated", 76, id="contradiction"),
        pytest.param(STARTING + RUNNING + EVENT, "truncated", 76, id="no-end"),
        pytest.param(STARTING + EVENT + final("successful", events=1), "truncated", 76, id="no-end-mark"),
        pytest.param(STARTING + END_OF_STREAM, "truncated", 76, id="no-final-status"),
        pytest.param(encode({"zipfile": -1}) + END_OF_STREAM, "truncated", 76, id="nonsense"),
    ],
)
def test_wait_status_and_attach_agree(
    mesh: Mesh, stream: bytes, state: str, code: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    unit = ended_unit(mesh, stream)
    job = Client(str(mesh.executor.socket)).adopt(mesh.executor.name, unit, private_data_dir=tmp_path)
    waited = ours("wait", unit, "-o", "json")
    assert (waited.returncode, json.loads(waited.stdout)[0]["state"]) == (code, state)
    assert json.loads(ours("status", unit, "-o", "json").stdout)["exit_code"] == code
    assert ours("attach", unit, "-q").returncode == code
    after = json.loads(ours("status", unit, "-o", "json").stdout)
    assert (after["state"], after["exit_code"], after["delivered"]) == (state, code, True)
    missing = 2 if "lost-events" in request.node.name else 0
    assert (after["missing_events"], after["complete"]) == (missing, missing == 0)
    job.release()
