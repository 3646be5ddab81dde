"""A node may say anything when it is asked about itself."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from receptor_runner.errors import UnreachableError
from receptor_runner.mesh.route import MeshStatus
from receptor_runner.mesh.worker_queries import read_probe, read_worker_info


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
