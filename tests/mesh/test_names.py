"""A name stands for one piece of work, and no results are lost by a name or a release."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptor_runner import Job
from receptor_runner import Mesh as Client
from receptor_runner.errors import UsageError
from receptor_runner.records.state_dir import jobs_directory
from tests.support.commands import ours
from tests.support.nodes import BOTH, Mesh, running
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import wait_for

pytestmark = pytest.mark.slow

#: Runs until the file is there.
WAITS = tasks("wait_for: {path: '%s/go', timeout: 60, sleep: 1}")
HELLO = tasks("debug: {msg: hello}")


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


def submit(mesh: Mesh, directory: Path, *words: str) -> tuple[int, bytes, str]:
    done = mesh.run("submit", directory, "-p", "test.yml", *words)
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_running_job_is_the_same_only_if_its_work_is(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(WAITS % tmp_path)
    words = ("-i", "nightly", "-e", "a=1")
    assert submit(mesh, directory, *words) == (0, b"nightly\n", "")
    code, told, said = submit(mesh, directory, *words)
    assert (code, told) == (0, b"nightly\n")
    assert "already submitted" in said
    os.utime(directory / "project" / "test.yml", (1, 1))
    assert submit(mesh, directory, *words)[0] == 0, "another time is no other work"
    assert len(mesh.controller.units()) == 1
    for other in (("-i", "nightly", "-e", "a=2"), ("-i", "nightly"), (*words, "--limit", "web"), (*words, "--again")):
        assert submit(mesh, directory, *other)[:2] == (64, b""), other
    (directory / "project" / "more.yml").write_text("x: 1\n")
    code, _, said = submit(mesh, directory, *words)
    assert (code, "other work" in said) == (64, True)
    (directory / "project" / "more.yml").unlink()
    client = Client(str(mesh.controller.socket))
    with pytest.raises(UsageError, match="other work"):
        client.submit(Job(directory, ident="nightly", playbook="test.yml"), mesh.executor.name)
    (tmp_path / "go").write_text("")
    assert ours("attach", "nightly", "-q").returncode == 0


def test_a_job_that_has_ended_is_not_the_next_one(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(HELLO)
    assert submit(mesh, directory, "-i", "n")[0] == 0
    assert ours("wait", "n", "--timeout", "60").returncode == 0
    for words in (("-i", "n"), ("-i", "n", "--again")):
        code, told, said = submit(mesh, directory, *words)
        assert (code, told) == (64, b"")
        assert "attach n" in said, "its results are nowhere else"
    assert ours("attach", "n", "-q").returncode == 0
    code, _, said = submit(mesh, directory, "-i", "n")
    assert (code, "--again" in said) == (64, True)
    assert submit(mesh, directory, "-i", "n", "--again") == (0, b"n\n", "")
    attached = ours("attach", "n")
    assert (attached.returncode, b"hello" in attached.stdout) == (0, True)


def test_a_release_loses_no_results(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(HELLO)
    assert submit(mesh, directory, "-i", "r")[0] == 0
    assert ours("wait", "r", "--timeout", "60").returncode == 0
    refused = ours("release", "r")
    assert refused.returncode == 64
    assert b"never saved" in refused.stderr
    assert mesh.units()
    assert ours("release", "--force", "r").returncode == 0
    wait_for(lambda: not mesh.units(), "nothing is left at either end", 20)
    assert submit(mesh, directory, "-i", "r")[0] == 0
    assert ours("attach", "r", "-q").returncode == 0
    assert ours("release", "r").returncode == 0


def test_a_job_whose_daemon_is_down_is_not_released(mesh: Mesh, make_dir: DirFactory) -> None:
    assert submit(mesh, make_dir(HELLO), "-i", "down")[0] == 0
    assert ours("wait", "down", "--timeout", "60").returncode == 0
    record = jobs_directory() / "down" / "job.json"
    data = json.loads(record.read_text())
    record.write_text(
        json.dumps({**data, "state": "running", "exit_code": None, "endpoint": {"socket": "/no/such.sock"}})
    )
    refused = ours("release", "down")
    assert refused.returncode == 69
    assert b"/no/such.sock" in refused.stderr
    assert b"release --force down" in refused.stderr
    record.write_text(json.dumps(data))
    assert ours("attach", "down", "-q").returncode == 0
    assert ours("release", "down").returncode == 0


def test_work_that_cannot_be_signed_is_refused(mesh: Mesh, make_dir: DirFactory) -> None:
    """The embedded node is this machine, and signs nothing."""
    done = mesh.run("run", make_dir(HELLO), "-p", "test.yml", "-q", "--signwork")
    assert done.returncode == (77 if mesh.real else 0), done.stderr
    if mesh.real:
        assert b"signing key" in done.stderr


def test_what_is_told_of_an_ended_job_agrees(mesh: Mesh, make_dir: DirFactory) -> None:
    """Also before anybody has followed it: its end is when it ended, and not when somebody looked."""
    directory = make_dir(tasks("command: /bin/false"))
    assert submit(mesh, directory, "-i", "told")[0] == 0
    assert ours("wait", "told", "--timeout", "60").returncode == 2
    before = json.loads(ours("status", "told", "-o", "json").stdout)
    assert ours("attach", "told", "-q").returncode == 2
    after = json.loads(ours("status", "told", "-o", "json").stdout)
    for view in (before, after):
        assert (view["state"], view["rc"], view["exit_code"], view["complete"]) == ("failed", 2, 2, True)
        assert view["created"] < view["ended"] < "2100"
        assert view["ended"].endswith("Z")
    assert before["ended"] == after["ended"]
    assert ours("release", "told").returncode == 0


def test_worktypes_say_what_their_values_mean(mesh: Mesh) -> None:
    offer = json.loads(ours("nodes", mesh.executor.name, *mesh.arguments(), "-o", "json").stdout)
    assert offer["worktypes"]["receptor-runner"] == {"signed": False}


def restart_controller(mesh: Mesh) -> None:
    """And waits for the way to the executor, but not for its advertisement."""
    mesh.controller.kill()
    mesh.controller.start()

    def is_reachable() -> bool:
        found = ours("nodes", mesh.executor.name, *mesh.arguments(), "-o", "json")
        return found.returncode == 0 and json.loads(found.stdout)["reachable"] is True

    wait_for(is_reachable, "the executor is reachable", 30)


def test_a_node_that_a_restarted_daemon_does_not_know_yet_takes_jobs(mesh: Mesh, make_dir: DirFactory) -> None:
    """It advertises once a minute."""
    restart_controller(mesh)
    done = mesh.run("run", make_dir(HELLO), "-p", "test.yml")
    assert done.returncode == 0, done.stderr
    restart_controller(mesh)
    assert submit(mesh, make_dir(HELLO), "-i", "later") == (0, b"later\n", "")
    assert ours("attach", "later", "-q").returncode == 0
    refused = mesh.run("run", make_dir(HELLO), "-p", "test.yml", "--worktype", "nothing")
    assert refused.returncode == 69
