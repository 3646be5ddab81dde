"""Any number of jobs is followed in one thread, and none of them waits for another's node."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from receptor_runner import Job, SubmittedJob
from receptor_runner import Mesh as Client
from receptor_runner.mesh.following.driver import FollowedJob, follow
from receptor_runner.mesh.following.policy import FollowedUnit, FollowPolicy
from receptor_runner.mesh.units import UnitHandle
from receptor_runner.records.journal import Journal
from receptor_runner.stages.interrupts import MeshInterrupts
from receptor_runner.stages.process import Processor, ProcessorOptions
from receptor_runner.system.signals import StopFlag
from tests.support.nodes import Mesh, running
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow


@pytest.fixture
def meshes() -> Iterator[list[Mesh]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running("embedded-1.4")) for _ in range(2)]


@contextlib.contextmanager
def followed(job: SubmittedJob, directory: Path, flag: StopFlag, lost_after: float = 600.0) -> Iterator[FollowedJob]:
    record = job.record
    unit = record.units[0]
    directory.mkdir()
    journal = Journal(directory)
    target = FollowedUnit(unit.unit, remote=False, direct=False, lost_after=lost_after)
    policy = FollowPolicy(target, time.monotonic())
    options = ProcessorOptions(
        str(directory / "artifacts"), journal=journal, interrupts=MeshInterrupts(), cancel=policy.cancel
    )
    with Processor(flag, options) as processor:
        handle = UnitHandle(record.address, unit.unit)
        one = FollowedJob(handle, record.route, policy, processor, lambda *_: None)
        yield one
    journal.close()


def submit(mesh: Mesh, directory: Path) -> SubmittedJob:
    return Client(str(mesh.executor.socket)).submit(Job(directory, playbook="test.yml"))


def test_several_jobs_are_followed_at_once_in_one_thread(
    meshes: list[Mesh], make_dir: DirFactory, tmp_path: Path
) -> None:
    before = threading.active_count()
    with StopFlag() as flag, ExitStack() as stack:
        jobs = []
        for number in range(4):
            directory = make_dir(tasks(f"debug: {{msg: this is {number}}}"), name=f"job{number}")
            submitted = submit(meshes[number % 2], directory)
            jobs.append((submitted, stack.enter_context(followed(submitted, tmp_path / f"f{number}", flag))))
        follow([one for _, one in jobs], flag)
        assert threading.active_count() == before
    for number, (submitted, one) in enumerate(jobs):
        assert one.error is None
        artifacts = tmp_path / f"f{number}" / "artifacts"
        assert f"this is {number}" in (artifacts / "stdout").read_text()
        submitted.release(force=True)


def test_a_frozen_node_holds_up_nobody_but_its_own_job(
    meshes: list[Mesh], make_dir: DirFactory, tmp_path: Path
) -> None:
    quick = make_dir(tasks("debug: {msg: quick}"), name="quick")
    frozen = make_dir(tasks("command: sleep 60"), name="frozen")
    with StopFlag() as flag, ExitStack() as stack:
        there = submit(meshes[1], frozen)
        here = submit(meshes[0], quick)
        ended: list[float] = []
        first = stack.enter_context(followed(here, tmp_path / "here", flag))
        second = stack.enter_context(followed(there, tmp_path / "there", flag, lost_after=12.0))
        meshes[1].executor.signal(signal.SIGSTOP)
        began = time.monotonic()
        watch = threading.Thread(target=lambda: _note_end(first, ended))
        watch.start()
        follow([first, second], flag)
        watch.join()
        assert first.error is None
        assert second.error is not None
        assert "out of reach for 12 s" in str(second.error)
        assert ended[0] - began < time.monotonic() - began - 5, "the first job ended long before the second was left"
        meshes[1].executor.signal(signal.SIGCONT)
    there.cancel()
    for job in (here, there):
        job.release(force=True)


def _note_end(job: FollowedJob, ended: list[float]) -> None:
    while not job.done:
        time.sleep(0.05)
    ended.append(time.monotonic())
