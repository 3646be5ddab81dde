"""Only what the node lacks travels: bytes on their way, stores that are gone or damaged, workers that have none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ours
from tests.support.deltas import contents
from tests.support.disks import small_disk
from tests.support.nodes import WORKER, Mesh, running_with, worktype
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import processes_with, wait_for

pytestmark = pytest.mark.slow

BOOK = tasks(
    "debug: {msg: \"{{ lookup('file', 'text') }}\"}", "command: cat large\nargs: {chdir: '{{ playbook_dir }}'}"
)
KINDS = ["embedded", pytest.param("daemon", marks=pytest.mark.daemon)]


@pytest.fixture(params=KINDS)
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    """Its worker has its store in ``tmp_path``."""
    with running_with(request.param, [_with_store(tmp_path / "store")]) as started:
        started.wait_ready()
        yield started


def _with_store(store: Path, *more: str) -> dict[str, Any]:
    return worktype(params=" ".join((WORKER, "--store", str(store), *more)))


@pytest.fixture
def job(make_dir: DirFactory) -> Path:
    directory = make_dir(BOOK)
    project = directory / "project"
    (project / "text").write_text("first")
    (project / "large").write_bytes(b"%d " * 100 % tuple(range(100)) + os.urandom(600_000).hex().encode())
    return directory


def sent(mesh: Mesh, job: Path, *words: str) -> int:
    """Runs the job; how many bytes have left for it."""
    done = mesh.run("run", job, "-p", "test.yml", "--delta", "--debug", *words)
    assert done.returncode == 0, done.stderr
    text = (job / "project" / "text").read_bytes()
    assert b'"msg": "' + text in done.stdout, done.stdout
    found = [line.split()[2] for line in done.stderr.splitlines() if b"bytes are sent" in line]
    return sum(map(int, found))


def test_the_second_time_only_changes_travel(mesh: Mesh, job: Path) -> None:
    first = sent(mesh, job)
    assert first > 600_000
    assert sent(mesh, job) < 4_000
    (job / "project" / "text").write_text("second")
    assert sent(mesh, job) < 6_000
    (job / "project" / "large").rename(job / "project" / "roles")
    (job / "project" / "roles").rename(job / "project" / "large")
    assert sent(mesh, job) < 6_000


def test_a_store_that_lost_something_gets_that_again(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    """What the directory of an earlier job has is not missed: that goes too."""
    first = sent(mesh, job)
    trees = tmp_path / "store" / "trees-v1"
    wait_for(lambda: list(trees.glob("*/*")), "the directory")
    shutil.rmtree(trees)
    large = next(path for path in contents(tmp_path / "store") if path.stat().st_size > 600_000)
    data = bytearray(large.read_bytes())
    data[7] ^= 1
    large.write_bytes(data)
    assert first * 0.9 < sent(mesh, job) < first + 8_000
    large.unlink()
    assert sent(mesh, job) < 4_000, "the directory has it"
    wait_for(lambda: list(trees.glob("*/*")), "the directory")
    shutil.rmtree(trees)
    assert first * 0.9 < sent(mesh, job) < first + 8_000
    shutil.rmtree(tmp_path / "store")
    assert first * 0.9 < sent(mesh, job) < first + 8_000
    assert sent(mesh, job) < 4_000


def test_secrets_and_artifacts_do_not_reach_the_store(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    env = job / "env"
    env.mkdir(exist_ok=True)
    (env / "passwords").write_text(json.dumps({"^unlikely question$": "PLANTED-PASSWORD"}))
    (env / "extravars").write_text(json.dumps({"key": "PLANTED-VARIABLE"}))
    sent(mesh, job, "-e", "more=PLANTED-OPTION")
    assert contents(tmp_path / "store")
    for path in contents(tmp_path / "store"):
        assert b"PLANTED" not in path.read_bytes()
    for path in (tmp_path / "store").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_what_a_job_does_to_its_files_does_not_reach_the_store(mesh: Mesh, make_dir: DirFactory) -> None:
    book = tasks(
        "command: cat text\nargs: {chdir: '{{ playbook_dir }}'}\nregister: was",
        "debug: {msg: 'it was {{ was.stdout }}'}",
        "copy: {content: spoiled, dest: '{{ playbook_dir }}/text', unsafe_writes: true}",
    )
    directory = make_dir(book)
    (directory / "project" / "text").write_text("unspoiled")
    for _ in range(2):
        done = mesh.run("run", directory, "-p", "test.yml", "--delta")
        assert done.returncode == 0, done.stderr
        assert b"it was unspoiled" in done.stdout


def test_a_job_begins_with_what_the_one_before_has_not_touched(
    mesh: Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Even if that leaves a process behind, which writes for ever."""
    book = tasks(
        "stat: {path: '{{ playbook_dir }}/kept'}\nregister: kept",
        "debug: {msg: 'inode {{ kept.stat.inode }} since {{ kept.stat.ctime }}.'}",
        "command: ls {{ playbook_dir }}",
        "shell: setsid sh -c 'while sleep 0.1; do echo PLAN$((1))TED | tee -a touched >> made; done' &\n"
        "args: {chdir: '{{ playbook_dir }}'}",
        "wait_for: {path: '{{ playbook_dir }}/made'}",
    )
    directory = make_dir(book)
    for name in ("kept", "touched"):
        (directory / "project" / name).write_text(name)
    said = []
    for _ in range(2):
        done = mesh.run("run", directory, "-p", "test.yml", "--delta")
        assert done.returncode == 0, done.stdout + done.stderr
        said.append([line for line in done.stdout.splitlines() if b"inode" in line or b"made" in line])
        wait_for(lambda: list((tmp_path / "store").glob("trees-v1/*/*")), "the directory")
    assert len(said[0]) == 1
    assert said[0] == said[1], "the same file, and nothing that the first has made"
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"PLAN1TED" not in path.read_bytes()


def test_a_directory_goes_with_a_worker_that_is_killed(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    book = tasks(
        "command: ls {{ playbook_dir }}",
        "copy: {content: PLANTED, dest: '{{ playbook_dir }}/made'}",
        f"wait_for: {{path: {tmp_path}/go, sleep: 1, timeout: 60}}",
    )
    directory = make_dir(book)
    (directory / "project" / "text").write_text("text")
    trees = tmp_path / "store" / "trees-v1"
    (tmp_path / "go").touch()
    assert mesh.run("run", directory, "-p", "test.yml", "--delta", "-q").returncode == 0
    wait_for(lambda: list(trees.glob("*/*")), "the directory")
    (tmp_path / "go").unlink()
    with mesh.popen("run", directory, "-p", "test.yml", "--delta", stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        while b"TASK [wait_for]" not in running.stdout.readline():
            assert running.poll() is None
        assert not list(trees.glob("*/*")), "this job has it"
        store = str(tmp_path / "store")
        named = [one for one in processes_with(store) if {"worker", store} <= set(one.cmdline())]
        worker = next(one for one in named if "receptor_runner.node.runner" not in one.cmdline())
        worker.kill()
        assert running.wait(timeout=60) == 76
    (tmp_path / "go").touch()
    done = mesh.run("run", directory, "-p", "test.yml", "--delta")
    assert done.returncode == 0, done.stdout
    assert b"made" not in done.stdout


def test_nothing_outlives_a_cleanup_of_the_store(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    first = sent(mesh, job)
    info = json.loads(ours("nodes", mesh.executor.name, "--info", "-o", "json", *mesh.arguments()).stdout)["info"]
    assert info["archive_formats"] == ["zip", "delta"]
    assert info["store"]["directory"] == str(tmp_path / "store")
    assert info["store"]["used_in_bytes"] > 600_000
    shown = ours("nodes", mesh.executor.name, "--info", *mesh.arguments()).stdout
    assert b"STORE" in shown
    done = ours("worker", "--store", tmp_path / "store", "cleanup", "--store")
    assert done.stdout.endswith(b"(changed: True)\n"), done.stderr
    assert contents(tmp_path / "store") == []
    assert first * 0.9 < sent(mesh, job) < first + 8_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_without_a_store_gets_everything(kind: str, job: Path, tmp_path: Path) -> None:
    with running_with(kind, [_with_store(tmp_path / "store", "--store-size", "0")]) as mesh:
        mesh.wait_ready()
        assert sent(mesh, job) > 600_000
        assert sent(mesh, job) > 600_000
        assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_lost_its_store_for_good_gets_everything(kind: str, job: Path, tmp_path: Path) -> None:
    """The client believes that there is one."""
    with running_with(kind, [_with_store(tmp_path / "store")]) as mesh:
        mesh.wait_ready()
        sent(mesh, job)
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "store").write_text("no directory any more")
        assert sent(mesh, job) > 600_000


@pytest.mark.parametrize("kind", KINDS)
def test_ansible_runner_in_its_place_gets_everything(
    kind: str, job: Path, tmp_path: Path, ansible_runner: list[str]
) -> None:
    """The node was given another worker meanwhile."""
    script = tmp_path / "worker"
    script.write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/theirs ]; then exec {ansible_runner[0]} worker; fi\n"
        f'exec {shutil.which("python3")} -m receptor_runner worker --store {tmp_path}/store "$@"\n'
    )
    script.chmod(0o755)
    item = {"work-command": {"worktype": "receptor-runner", "command": str(script), "allowruntimeparams": True}}
    with running_with(kind, [item]) as mesh:
        mesh.wait_ready()
        sent(mesh, job)
        assert sent(mesh, job) < 6_000
        (tmp_path / "theirs").touch()
        assert sent(mesh, job) > 600_000


def test_a_full_store_drops_what_was_not_used_for_longest(job: Path, tmp_path: Path) -> None:
    with running_with("embedded", [_with_store(tmp_path / "store", "--store-size", "3M")]) as mesh:
        mesh.wait_ready()
        for number in range(6):
            (job / "project" / "large").write_text(f"{number} {os.urandom(500_000).hex()}")
            assert sent(mesh, job) > 600_000
        assert sum(path.stat().st_size for path in contents(tmp_path / "store")) < 3_100_000
        assert sent(mesh, job) < 6_000, "what was used last is there"


def test_two_jobs_at_once_share_a_store(mesh: Mesh, job: Path) -> None:
    sent(mesh, job)
    running = [
        mesh.popen("run", job, "-p", "test.yml", "--delta", "-q", "-i", f"r{number}", stderr=subprocess.PIPE)
        for number in range(3)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


def test_only_a_node_that_is_there_is_asked(mesh: Mesh, job: Path) -> None:
    done = mesh.run("submit", job, "-p", "test.yml", "--delta", "-i", "later")
    assert done.returncode == 0, done.stderr
    assert ours("attach", "later", "-q").returncode == 0
    assert done.stdout == b"later\n"


def test_a_full_disk_under_the_store_costs_bytes_and_no_job(job: Path, tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "small", "300k") as disk,
        running_with("embedded", [_with_store(disk / "store")]) as mesh,
    ):
        mesh.wait_ready()
        assert sent(mesh, job) > 600_000
        assert sent(mesh, job) > 600_000


def test_a_store_that_is_removed_while_a_job_runs_is_not_missed(
    mesh: Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    book = tasks(f"wait_for: {{path: {tmp_path}/go, sleep: 1}}", "debug: {msg: \"{{ lookup('file', 'text') }}\"}")
    directory = make_dir(book)
    (directory / "project" / "text").write_text("still there")
    mesh.run("submit", directory, "-p", "test.yml", "--delta", "-i", "r")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "go").touch()
    done = ours("attach", "r")
    assert done.returncode == 0, done.stderr
    assert b"still there" in done.stdout


def test_a_store_of_another_version_is_left_alone(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    other = tmp_path / "store" / "v0" / "something"
    other.parent.mkdir(parents=True)
    other.write_text("of an older version")
    sent(mesh, job)
    assert sent(mesh, job) < 6_000
    assert other.read_text() == "of an older version"
