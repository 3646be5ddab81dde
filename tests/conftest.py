"""Fixtures: private data dirs, the stages of both implementations, and the bookkeeping that shows what a stage left
behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

OURS = [sys.executable, "-m", "receptor_runner"]
BIN = Path(sys.executable).parent
CHILDREN = Path(__file__).parent / "children"
INVENTORY = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'


# a shell starts what it puts into the background so, and nohup what it runs; both are inherited by what is tested
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Ansible of this interpreter first; no setting of the tester's reaches a job, and no job the tester's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    for name in list(os.environ):
        if name.startswith(("ANSIBLE_", "PYTHON", "RUNNER_", "RECEPTOR_RUNNER_", "RECEPTORCTL_")):
            monkeypatch.delenv(name)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary directory of every stage that the test starts; empty afterwards if they clean up. Its name is
    short: sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="rrt-", dir="/tmp") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


class DirFactory:
    """Makes private data dirs."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def __call__(
        self, playbook: str | None = None, *, inventory: str = INVENTORY, name: str = "demo", **files: str
    ) -> Path:
        """``files`` are named by their path, with ``__`` for ``/``: ``env__settings="…"``."""
        directory = self._top / name
        (directory / "project").mkdir(parents=True, exist_ok=True)
        (directory / "inventory").mkdir(exist_ok=True)
        (directory / "inventory" / "hosts").write_text(inventory)
        if playbook is not None:
            (directory / "project" / "test.yml").write_text(playbook)
        for path, content in files.items():
            target = directory / path.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        return directory


@pytest.fixture
def make_dir(tmp_path: Path) -> DirFactory:
    return DirFactory(tmp_path)


def tasks(*lines: str, hosts: str = "all", facts: bool = False) -> str:
    """A playbook of one play; each line is one task in YAML's flow style or several lines of block style."""
    head = f"- hosts: {hosts}\n  gather_facts: {str(facts).lower()}\n  tasks:\n"
    return head + "".join("    - " + line.replace("\n", "\n      ") + "\n" for line in lines)


def ours(*arguments: str | bytes | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs one of our commands to its end."""
    return subprocess.run(
        [*OURS, *(a if isinstance(a, bytes) else str(a) for a in arguments)],
        capture_output=True,
        timeout=options.pop("timeout", 120),
        check=False,
        **options,
    )


def stream_lines(stream: bytes) -> list[dict[str, Any]]:
    """The JSON lines of a stream, without archives."""
    lines = []
    for line in stream.split(b"\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            end = line.rfind(b"{")
            if end > 0:
                lines.append(json.loads(line[end:]))
    return lines


def events_of(artifacts: Path) -> list[dict[str, Any]]:
    """The event files of an artifact directory, in order."""
    found = [json.loads(path.read_bytes()) for path in (artifacts / "job_events").glob("*.json")]
    return sorted(found, key=lambda event: event["counter"])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits until ``condition`` is true, and returns what it returned. Without ``seconds`` it is what a machine that
    stands still for a while needs, and promises nothing about speed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"after {seconds:.0f} s still not: {what}")


def processes_with(text: str) -> list[psutil.Process]:
    """Living processes that have ``text`` in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            values = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(text in value for value in values):
            found.append(process)
    return found


@pytest.fixture
def no_leftovers(temporary: Path) -> Iterator[Path]:
    """Afterwards no process that the test started lives, and the temporary directory is empty."""
    yield temporary
    wait_for(lambda: not processes_with(str(temporary)), f"no process of {temporary}", 15)
    wait_for(lambda: not list(temporary.iterdir()), "an empty temporary directory", 5)


@pytest.fixture(scope="session")
def peer() -> list[str]:
    """The peer's command."""
    found = shutil.which("ansible-runner", path=str(BIN))
    assert found, "ansible-runner is a test dependency: install this package's extra 'test'"
    return [found]
