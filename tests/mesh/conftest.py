"""Fixtures: a mesh shared by the tests of a module, and one of a test's own for those that break it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .nodes import Mesh, running

#: The embedded node in both manners, always; the real daemon where there is one.
EMBEDDED = ["embedded-1.4", "embedded-1.5"]
TWO = pytest.param("daemon", marks=pytest.mark.daemon)
DAEMONS = [
    TWO,
    *(pytest.param(kind, marks=pytest.mark.daemon) for kind in ("daemon-line", "daemon-signed", "daemon-tls")),
]


@pytest.fixture(scope="module", params=[*EMBEDDED, *DAEMONS])
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with (
        tempfile.TemporaryDirectory(prefix="rrm-", dir="/tmp") as directory,
        running(Path(directory), request.param) as started,
    ):
        yield started


@pytest.fixture
def new_mesh() -> Iterator[Callable[[str], Mesh]]:
    """Starts a mesh of the given kind, for a test that breaks it."""
    with ExitStack() as stack:

        def start(kind: str) -> Mesh:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="rrm-", dir="/tmp"))
            return stack.enter_context(running(Path(directory), kind))

        yield start
