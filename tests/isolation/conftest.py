"""Fixtures: each way to isolate a job, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engine, Podman, Sandbox, podman_in, sandbox_refusal


@pytest.fixture(scope="session")
def _podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with podman_in(tmp_path_factory.mktemp("podman")) as made:
        yield made


def _in_use(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for name, value in getattr(engine, "env", {}).items():
        monkeypatch.setenv(name, value)
    before = engine.left()
    yield engine
    assert engine.left() == before


@pytest.fixture
def podman(_podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Podman]:
    """The test and all that it starts uses it. Afterwards no container is left."""
    yield from _in_use(_podman, monkeypatch)  # type: ignore[misc]


@pytest.fixture(params=["podman", "bwrap"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each in turn; afterwards nothing of it is left."""
    if request.param == "podman":
        yield from _in_use(request.getfixturevalue("_podman"), monkeypatch)
        return
    yield from _in_use(_working_sandbox(), monkeypatch)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Afterwards nothing of it is left."""
    yield from _in_use(_working_sandbox(), monkeypatch)


def _working_sandbox() -> Sandbox:
    refusal = sandbox_refusal()
    if refusal is not None:
        pytest.skip(refusal)
    return Sandbox()


@pytest.fixture
def image_tar(_podman: Podman, tmp_path: Path) -> Path:
    """The image, as a file to import under another name."""
    return _podman.directory / "image.tar"
