"""Fixtures: a mesh shared by the tests of a module, and one of a test's own for those that break it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.commands import ours
from tests.support.nodes import Mesh, running
from tests.support.processes import wait_for

#: The embedded node in both manners, always; the real daemon where there is one.
EMBEDDED = ["embedded-1.4", "embedded-1.5"]
TWO = pytest.param("daemon", marks=pytest.mark.daemon)
DAEMONS = [
    TWO,
    *(pytest.param(kind, marks=pytest.mark.daemon) for kind in ("daemon-line", "daemon-signed", "daemon-tls")),
]


@pytest.fixture(scope="module", params=[*EMBEDDED, *DAEMONS])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


@pytest.fixture
def new_mesh() -> Iterator[Callable[[str], Mesh]]:
    """Starts a mesh of the given kind, for a test that breaks it."""
    with ExitStack() as stack:

        def start(kind: str) -> Mesh:
            return stack.enter_context(running(kind))

        yield start


@pytest.fixture
def no_jobs_left(mesh: Mesh) -> Iterator[None]:
    """Whatever a test has submitted is cancelled and released afterwards, and then the mesh has no unit."""
    yield
    ours("cancel", "--all")
    for job in json.loads(ours("jobs", "-o", "json").stdout):
        ours("release", job["id"], "--force")
    wait_for(lambda: not mesh.units(), "no unit is left", 20)
