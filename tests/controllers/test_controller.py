"""Thirty jobs of every kind at once, by a small controller: each is accounted for, and nothing is left."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import receptor_runner
from tests.support.commands import CHILDREN, ours
from tests.support.controller import Controller, ControllerJob, wait_all
from tests.support.deltas import contents
from tests.support.nodes import BOTH, WORKER, Mesh, running, running_with, worktype
from tests.support.private_data import tasks
from tests.support.processes import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


@pytest.fixture
def controller(mesh: Mesh, tmp_path: Path) -> Iterator[Controller]:
    made = Controller(receptor_runner, tmp_path, str(mesh.controller.socket), mesh.executor.name, "receptor-runner", {})
    yield made
    made.close()


def mixed_jobs() -> list[ControllerJob]:
    """Thirty: each of ten kinds three times."""
    kinds = [
        ControllerJob(0, "successful", tasks("debug: {msg: '{{ who }}'}", "set_stats: {data: {answer: 42}}")),
        ControllerJob(0, "failed", tasks("command: /bin/false")),
        ControllerJob(
            0,
            "unreachable",
            tasks("ping:\nvars: {ansible_connection: ssh, ansible_port: 1}"),
            hosts=("127.0.0.1",),
        ),
        ControllerJob(0, "ad hoc", parameters={"module": "command", "module_args": "echo hi", "host_pattern": "all"}),
        ControllerJob(0, "inventory", args="ansible-inventory -i inventory/hosts --list --export"),
        ControllerJob(
            0,
            "facts",
            tasks(
                "assert: {that: known == 1}\nwhen: inventory_hostname == 'h1'",
                "set_fact: {learnt: 2, cacheable: true}\nwhen: inventory_hostname == 'h2'",
            ),
            hosts=("h1", "h2"),
            facts={"h1": {"known": 1}},
        ),
        ControllerJob(0, "timeout", tasks("command: sleep 100"), settings={"job_timeout": 3}),
        ControllerJob(0, "canceled", tasks("command: sleep 100"), cancel_at="runner_on_start"),
        ControllerJob(0, "error", tasks("debug: {msg: no}"), parameters={"passwords": {"(": "no expression"}}),
        ControllerJob(
            0,
            "password",
            args=f"{shlex.quote(sys.executable)} {CHILDREN}/asks.py",
            parameters={"passwords": {"never asked:\\s*?$": "", "secret word:\\s*?$": "geheim"}},
        ),
        ControllerJob(0, "system", tasks("debug: {msg: here}")),
    ]
    jobs = []
    for number in range(30):
        one = kinds[number % len(kinds)]
        jobs.append(
            ControllerJob(
                number + 1, one.kind, one.playbook, dict(one.parameters), dict(one.settings), one.args, one.hosts,
                dict(one.facts), one.cancel_at,
            )
        )  # fmt: skip
    return jobs


ENDS = {
    "successful": ("successful", 0),
    "failed": ("failed", 2),
    "unreachable": ("failed", 4),
    "ad hoc": ("successful", 0),
    "inventory": ("successful", 0),
    "facts": ("successful", 0),
    "timeout": ("timeout", 254),
    "canceled": ("canceled", 254),
    "error": ("error", None),
    "password": ("successful", 0),
    "system": ("successful", 0),
}


def check(controller: Controller, job: ControllerJob) -> None:
    assert job.error is None, job.explanation
    assert (job.status, job.rc) == ENDS[job.kind], (job.kind, job.explanation)
    assert job.finished == 1
    events = controller.events(job)
    assert [counter for counter, _ in events] == list(range(1, len(events) + 1)), job.kind
    assert job.final_counter == len(events)
    if job.kind == "error":
        assert "regular expression" in job.explanation
        assert not events
        return
    assert job.starting["env"]["JOB_ID"] == str(job.number)
    assert job.artifacts is not None
    assert events
    if job.kind == "facts":
        assert job.facts_back == {"h1": {"known": 1}, "h2": {"learnt": 2}}
        assert job.changed_facts == ["h2"]
    if job.kind in ("successful", "failed", "unreachable", "system"):
        assert events[-1][1] == "playbook_on_stats"


def test_thirty_jobs_of_every_kind(controller: Controller, mesh: Mesh, tmp_path: Path) -> None:
    jobs = mixed_jobs()
    threads = [threading.Thread(target=controller.run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    info = controller.health()
    wait_all(threads, 150)
    assert info["cpu_count"] > 0
    assert info["errors"] == []
    for job in jobs:
        check(controller, job)
    wait_for(lambda: not mesh.units(), "no unit is left", 20)
    assert not list((tmp_path / "there").glob("*")), "--delete"


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("kind", ["embedded", pytest.param("daemon", marks=pytest.mark.daemon)])
def test_how_jobs_travel_is_one_parameter(kind: str, tmp_path: Path, sealed: bool) -> None:
    """Only what the node lacks, and nothing in clear, for a controller that submits its streams by itself."""
    key = tmp_path / "key"
    assert ours("worker", "--seal-key", key, "seal-key").returncode == 0
    work = worktype(params=f"{WORKER} --seal-key {key} --store {tmp_path}/store")
    with running_with(kind, [work]) as mesh:
        mesh.wait_ready()
        node, socket = mesh.executor.name, str(mesh.controller.socket)
        if sealed:
            assert ours("trust", node, *mesh.arguments()).returncode == 0
        own = receptor_runner.Mesh(socket)
        wish = receptor_runner.PayloadWish(delta=True, seal_results=sealed, place="a project")
        with contextlib.closing(
            Controller(receptor_runner, tmp_path, socket, node, "receptor-runner", {})
        ) as controller:
            controller.payload = lambda: own.payload(node, wish=wish)
            jobs = mixed_jobs()[:10]
            threads = [threading.Thread(target=controller.run, args=(job,), daemon=True) for job in jobs]
            for thread in threads:
                thread.start()
            wait_all(threads, 150)
            for job in jobs:
                check(controller, job)
        wait_for(lambda: not mesh.units(), "no unit is left", 20)
    assert contents(tmp_path / "store")
    assert any((tmp_path / "store").glob("trees-v1/*/*")) != sealed, "what was sealed leaves nothing in clear"


def test_cleanup_spares_jobs_that_run(controller: Controller, mesh: Mesh, tmp_path: Path) -> None:
    """A cleanup deleted the directories of running jobs (awx PR 15721)."""
    job = ControllerJob(50, "successful", tasks("pause: {seconds: 4}", "debug: {msg: done}"))
    old = tmp_path / "there" / "awx_49_x" / "project"
    old.mkdir(parents=True)
    thread = threading.Thread(target=controller.run, args=(job,), daemon=True)
    thread.start()
    wait_for(lambda: controller.events(job), "it runs")
    said = controller.clean(f"{tmp_path}/there/awx_*_*", "--exclude-strings=awx_1_ awx_2_")
    assert said.endswith("(changed: True)\n")
    assert not old.exists()
    wait_all([thread], 60)
    check(controller, job)
    wait_for(lambda: not mesh.units(), "no unit is left", 20)


def test_units_that_nobody_released_are_reaped(controller: Controller, mesh: Mesh) -> None:
    job = ControllerJob(60, "successful", tasks("debug: {msg: done}"))
    directory = controller._write(job)
    controller._submit(job, {"private_data_dir": str(directory), **controller._parameters(job, directory)})
    wait_for(lambda: list(controller.reap()), "it has ended, and is reaped", 30)
    wait_for(lambda: not mesh.units(), "no unit is left", 20)
