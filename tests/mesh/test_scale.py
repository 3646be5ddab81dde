"""Many jobs at once, and large ones."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from receptor_runner import Job, Outcome
from receptor_runner import Mesh as Client
from tests.support.nodes import Mesh
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import wait_for

pytestmark = pytest.mark.slow


def test_many_jobs_at_once(mesh: Mesh, make_dir: DirFactory) -> None:
    """All in one process, each with a follower of its own."""
    if mesh.kind not in ("embedded-1.4", "daemon"):
        return
    count = 100
    directory = make_dir(tasks("debug: {msg: no}"))
    command = directory / "command"
    command.write_text("#!/bin/sh\necho hello from $$\n")
    command.chmod(0o700)
    client = Client(str(mesh.controller.socket))
    outcomes: dict[str, Outcome] = {}

    def work(name: str) -> None:
        job = Job(directory, ident=name, playbook="test.yml", binary=str(command))
        outcomes[name] = client.submit(job, mesh.executor.name).follow()

    threads = [threading.Thread(target=work, args=[f"n{number}"]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {f"n{n}": "successful" for n in range(count)}
    texts = {(directory / "artifacts" / name / "stdout").read_text() for name in outcomes}
    assert len(texts) == count, "each has its own output"
    wait_for(lambda: not mesh.units(), "no unit is left", 30)


def test_a_large_payload_and_large_results(mesh: Mesh, make_dir: DirFactory) -> None:
    """200 MB there and 200 MB back."""
    directory = make_dir(
        tasks(
            "copy: {src: '{{ playbook_dir }}/big', dest: '{{ playbook_dir }}/../artifacts/big/big', remote_src: true}"
        )
    )
    size = 200 * 1024 * 1024
    with open(directory / "project" / "big", "wb") as file:
        for _ in range(size // 2**20):
            file.write(os.urandom(2**20))
    done = mesh.run("run", directory, "-p", "test.yml", "-i", "big", "-q", timeout=170)
    assert done.returncode == 0, done.stderr
    assert _same(directory / "project" / "big", directory / "artifacts" / "big" / "big")


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            block = first.read(2**20)
            if block != second.read(2**20):
                return False
            if not block:
                return True
