"""Isolated jobs over a mesh: the embedded node and the real daemon start the same worker."""

from __future__ import annotations

import contextlib
import json
import os

import psutil
import pytest

from receptor_runner.limits import ENGINE_SECONDS, KILL_SECONDS
from tests.support.commands import ours
from tests.support.commands_in_isolation import POLITE, STUBBORN
from tests.support.engines import Engine
from tests.support.nodes import BOTH, Mesh, running
from tests.support.private_data import DirFactory, local, tasks
from tests.support.processes import Stopwatch, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow


def worker_of(mesh: Mesh) -> psutil.Process:
    """The process that has the stream of the executor's only unit as its input."""
    (unit,) = mesh.executor.units()
    stdin = str(mesh.executor.data / unit / "stdin")
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{process.pid}/fd/0") == stdin and "worker" in (process.info["cmdline"] or ()):
                return process
    raise AssertionError("there is no worker")


@pytest.mark.parametrize("kind", BOTH)
def test_an_isolated_job_runs_there_as_it_runs_here(kind: str, engine: Engine, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}", "command: sleep 1", facts=True))
    here = make_dir(tasks("debug: {msg: hello}", "command: sleep 1", facts=True), name="here")
    with running(kind) as mesh:
        done = mesh.run("run", directory, "-p", "test.yml", "-i", "job", *engine.options())
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        wait_for(lambda: not mesh.units(), "no unit is left")
    assert engine.around(directory / "artifacts" / "job")
    assert ours("run", here, "-p", "test.yml", "-i", "job", *engine.options()).stdout == done.stdout
    far, near = events_of(directory / "artifacts" / "job"), events_of(here / "artifacts" / "job")
    assert [event["event"] for event in far] == [event["event"] for event in near]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("command", [POLITE, STUBBORN])
def test_cancelling_the_unit_stops_the_container(command: str, kind: str, engine: Engine, make_dir: DirFactory) -> None:
    """Receptor interrupts the worker, and kills it 10 s later: the container is gone by then, and its end is told."""
    with running(kind) as mesh:
        job = mesh.run("submit", make_dir(args=command), *engine.options()).stdout.decode().strip()
        wait_for(engine.left, "it runs")
        follower = ["attach", job]
        sent = Stopwatch()
        assert ours("cancel", job, timeout=60).returncode == 0
        assert sent.seconds() < 10
        wait_for(lambda: not engine.left(), "nothing is left", 2)
        assert ours(*follower, "-q").returncode == 130
        ours("release", job)


@pytest.mark.parametrize("kind", BOTH)
def test_sigkill_of_the_worker_leaves_nothing_on_the_node(kind: str, engine: Engine, make_dir: DirFactory) -> None:
    """The worker alone is killed, as the kernel does when memory is short."""
    with running(kind) as mesh:
        job = mesh.run("submit", make_dir(args=STUBBORN), *engine.options()).stdout.decode().strip()
        wait_for(engine.left, "it runs")
        worker_of(mesh).kill()
        wait_for(lambda: not engine.left(), "nothing is left", KILL_SECONDS + ENGINE_SECONDS)
        assert ours("wait", job).returncode in (74, 76)
        ours("release", job)


@pytest.mark.parametrize("kind", BOTH)
def test_a_host_of_an_isolated_job_is_seen_and_ended(kind: str, engine: Engine, make_dir: DirFactory) -> None:
    book = tasks(
        "name: hang\ncommand: sleep 600\nwhen: inventory_hostname == 'one'",
        "name: after\ndebug: {msg: 'on {{ inventory_hostname }}'}",
    )
    directory = make_dir(book, inventory=local("one", "two"))
    with running(kind) as mesh:
        mesh.run("submit", directory, "-p", "test.yml", "-i", "c", *engine.options())

        def hangs() -> bool:
            seen = json.loads(ours("inspect", "c", "-o", "json").stdout)
            pids = {pid for one in seen["running"] for pid in one["pids"]}
            return any("sleep 600" in one["arguments"] for one in seen["processes"] if one["pid"] in pids)

        wait_for(hangs, "it hangs, and its process is known")
        done = ours("kill", "c", "--host", "one")
        assert done.returncode == 0, done.stderr
        followed = ours("attach", "c")
        assert followed.returncode == 2
        assert b"on two" in followed.stdout
