"""Fixtures: private data dirs, the stages of both implementations, and the bookkeeping that shows what a stage left
behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from receptor_runner.system.mounts import IN_MEMORY, file_system_of
from tests.support.commands import BIN
from tests.support.jobs import end_started
from tests.support.private_data import DirFactory
from tests.support.processes import processes_with, wait_for

# what a machine does in between must not fail a test; the benchmarks measure speed
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# a shell starts what it puts into the background so, and nohup what it runs; both are inherited by what is tested
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Ansible of this interpreter first; no setting of the tester's reaches a job, and no job the tester's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "PYTHON", "RUNNER_", "RECEPTOR_RUNNER_", "RECEPTORCTL_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    yield
    end_started()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary directory of every stage that the test starts; empty afterwards if they clean up. Its name is
    short: sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="rrt-", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


@pytest.fixture
def make_dir(tmp_path: Path) -> DirFactory:
    return DirFactory(tmp_path)


@pytest.fixture
def no_leftovers(temporary: Path) -> Iterator[Path]:
    """Afterwards no process that the test started lives, and the temporary directory is empty."""
    yield temporary
    wait_for(lambda: not processes_with(str(temporary)), f"no process of {temporary}", 15)
    wait_for(lambda: not list(temporary.iterdir()), "an empty temporary directory", 5)


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory that no disk has."""
    if file_system_of("/dev/shm") not in IN_MEMORY:
        pytest.skip("/dev/shm is not in memory here")
    with tempfile.TemporaryDirectory(prefix="rrt-", dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def ansible_runner() -> list[str]:
    """ansible-runner's command."""
    found = shutil.which("ansible-runner", path=str(BIN))
    assert found, "ansible-runner is a test dependency: install this package's extra 'test'"
    return [found]
