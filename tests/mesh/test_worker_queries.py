"""A node may say anything when it is asked about itself."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from receptor_runner.errors import UnreachableError
from receptor_runner.mesh.route import MeshStatus
from receptor_runner.mesh.worker_queries import read_probe, read_worker_info
from tests.support.commands import ours
from tests.support.looking import inspected
from tests.support.nodes import BOTH, running_with, worktype
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import wait_for


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 5000 + b"\n",
        b"{cpu_count: 1, x: 2001-99-99}\n",
        b"{cpu_count: 1, x: !!int a}\n",
        b"{cpu_count: 1",
        b"nothing\n",
        b"\xff\n",
    ],
)
def test_an_answer_that_is_no_worker_information_is_none(answer: bytes) -> None:
    assert read_worker_info(answer) is None
    assert read_probe(answer) is None
    assert read_probe(b"[" * 200_000) is None


def test_unknown_parts_of_a_nodes_answer_are_left_out() -> None:
    text = b"{cpu_count: 2, mem_in_bytes: many, errors: [a, {b: c}, 3], uuid: 2001-01-01, day: 2001-01-01}\n"
    assert read_worker_info(text) == {"cpu_count": 2, "errors": ["a", "3"]}


@pytest.mark.parametrize(
    "status",
    [{"RoutingTable": [1]}, {"Advertisements": [{"WorkCommands": [1]}]}, {"Advertisements": [{"WorkCommands": 7}]}],
)
def test_a_status_of_other_types_is_no_fault_of_ours(status: dict[str, Any]) -> None:
    with contextlib.suppress(UnreachableError):
        MeshStatus({"NodeID": "x", **status}).nodes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_of_another_worker_is_told_what_its_events_tell(
    kind: str, make_dir: DirFactory, ansible_runner: list[str]
) -> None:
    """ansible-runner's worker cannot be asked: hosts and tasks are known all the same, and nothing is ended."""
    theirs = worktype("ansible-runner", command=ansible_runner[0], params="worker")
    with running_with(kind, [theirs]) as mesh:
        mesh.wait_ready()
        directory = make_dir(tasks("name: hang\ncommand: sleep 600"))
        mesh.run("submit", directory, "-p", "test.yml", "-i", "j", "--worktype", "ansible-runner")
        found = wait_for(lambda: (seen := inspected("j"))["running"] and seen, "it hangs")
        assert [(one["host"], one["task"], one["pids"]) for one in found["running"]] == [("localhost", "hang", [])]
        assert "ansible-runner is no worker" in found["note"]
        ended = ours("kill", "j", "--host", "localhost")
        assert ended.returncode == 69
        assert b"ansible-runner is no worker" in ended.stderr
        ours("cancel", "j")
        ours("release", "j", "--force")
