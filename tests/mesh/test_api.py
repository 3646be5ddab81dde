"""Jobs over a mesh from Python: what they show of themselves, and following them as a context."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

import receptor_runner
from receptor_runner.errors import LostError, UsageError
from receptor_runner.job.parameters import DEFAULTS, LOCAL
from receptor_runner.job.typed import JobParameters, RunParameters
from tests.support.commands import ROOT
from tests.support.nodes import Mesh
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import wait_for

PLAY = tasks("debug: {msg: one}", "debug: {msg: two}")


@pytest.fixture
def client(mesh: Mesh) -> object:
    tlsclient = mesh.options[1] if mesh.options else None
    yield receptor_runner.Mesh(str(mesh.controller.socket), tlsclient=tlsclient)
    for job in list(receptor_runner.Mesh.jobs()):
        job.release(force=True)
    wait_for(lambda: not mesh.units(), "no unit is left", 20)


@pytest.mark.slow
def test_a_job_is_followed_while_a_context_lasts(
    mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory
) -> None:
    directory = make_dir(PLAY)
    made = receptor_runner.Job(directory, playbook="test.yml", ident="j")
    assert repr(made) == f"<Job j: test.yml of {directory}>"
    job = client.submit(made, mesh.executor.name)
    assert f" on {mesh.executor.name}>" in repr(job)
    with job.following() as followed:
        events = [event["event"] for event in followed]
    assert events[0] == "playbook_on_start"
    assert events[-1] == "playbook_on_stats"
    assert followed.outcome is not None
    assert (followed.outcome.status, followed.outcome.rc) == ("successful", 0)
    assert (directory / "artifacts" / "j" / "rc").read_text() == "0"
    assert repr(job) == f"<SubmittedJob j successful on {mesh.executor.name}>"


@pytest.mark.slow
def test_who_leaves_early_leaves_the_job_to_itself(
    mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    play = tasks("debug: {msg: one}", f"wait_for: {{path: {until}, sleep: 1}}")
    job = client.submit(receptor_runner.Job(make_dir(play), playbook="test.yml"), mesh.executor.name)
    with job.following() as followed:
        for event in followed:
            if event["event"] == "runner_on_ok":
                break
    assert followed.outcome is None
    assert job.refresh().verdict is None, "it goes on"
    until.touch()
    with job.following() as again:
        rest = [event["event"] for event in again]
    assert rest[-1] == "playbook_on_stats"
    assert again.outcome is not None
    assert again.outcome.status == "successful"


@pytest.mark.slow
def test_jobs_are_followed_by_asyncio(mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)

    async def one(name: str) -> tuple[int, str]:
        job = receptor_runner.Job(directory, playbook="test.yml", ident=name)
        submitted = await asyncio.to_thread(client.submit, job, mesh.executor.name)
        count = 0
        async with submitted.following() as followed:
            async for _ in followed:
                count += 1
        assert followed.outcome is not None
        return count, followed.outcome.status

    async def both() -> tuple[tuple[int, str], tuple[int, str]]:
        return await asyncio.gather(one("a"), one("b"))

    first, second = asyncio.run(both())
    assert first == second
    assert first[1] == "successful"


@pytest.mark.slow
def test_a_task_that_is_cancelled_leaves_the_job_to_itself(
    mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory
) -> None:
    job = client.submit(
        receptor_runner.Job(make_dir(tasks("command: sleep 100")), playbook="test.yml"), mesh.executor.name
    )

    async def follow() -> None:
        async with job.following() as followed:
            async for _ in followed:
                pass

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(follow(), 5))
    assert job.refresh().verdict is None
    job.cancel()


@pytest.mark.slow
def test_a_read_that_is_cancelled_takes_no_event(
    mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory
) -> None:
    """And however many jobs say nothing, none of them holds a thread that another one needs."""
    quiet = tasks("command: sleep 100")
    job = client.submit(receptor_runner.Job(make_dir(PLAY), playbook="test.yml"), mesh.executor.name)
    silent = [
        client.submit(receptor_runner.Job(make_dir(quiet, name=f"q{number}"), playbook="test.yml"), mesh.executor.name)
        for number in range(3)
    ]

    async def follow() -> list[int]:
        counters = []
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(one.following()) for one in silent]
            waiting = [asyncio.ensure_future(anext(one)) for one in held for _ in range(12)]
            followed = await stack.enter_async_context(job.following())
            while True:
                try:
                    counters.append((await asyncio.wait_for(anext(followed), 0.02))["counter"])
                except asyncio.TimeoutError:
                    continue
                except StopAsyncIteration:
                    break
            for one in waiting:
                one.cancel()
        return counters

    counters = asyncio.run(asyncio.wait_for(follow(), 60))
    assert counters == list(range(1, len(counters) + 1))
    assert len(counters) > 5
    for one in silent:
        one.cancel()


def test_a_following_that_was_not_entered_says_so() -> None:
    followed = receptor_runner.Following(lambda **_: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="enter it first"):
        next(followed)


@pytest.mark.slow
def test_a_fault_of_following_is_raised(mesh: Mesh, client: receptor_runner.Mesh, make_dir: DirFactory) -> None:
    job = client.submit(receptor_runner.Job(make_dir(PLAY), playbook="test.yml", ident="gone"), mesh.executor.name)
    units = job.record.units
    job._save(units=[])
    with pytest.raises(LostError), job.following() as followed:
        list(followed)
    job._save(units=units)


def test_every_parameter_has_a_type() -> None:
    assert set(RunParameters.__annotations__) == (set(DEFAULTS) | set(LOCAL))
    ours = {"private_data_dir", "ident"}
    behaviour = set(RunParameters.__annotations__) - set(JobParameters.__annotations__) - ours
    assert behaviour <= set(LOCAL)


def test_a_job_has_no_parameter_of_a_wrong_name(make_dir: DirFactory) -> None:
    with pytest.raises(UsageError, match="no parameter playbok; did you mean playbook"):
        receptor_runner.Job(make_dir(PLAY), playbok="test.yml")  # type: ignore[call-arg]


def test_a_type_checker_refuses_a_wrong_name(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    file = tmp_path / "wrong.py"
    file.write_text("import receptor_runner\nreceptor_runner.run(private_data_dir='d', playbok='x')\n")
    words = [sys.executable, "-m", "mypy", "--config-file", "/dev/null", str(file)]
    done = subprocess.run(words, capture_output=True, cwd=ROOT)
    assert b'Unexpected keyword argument "playbok"' in done.stdout
