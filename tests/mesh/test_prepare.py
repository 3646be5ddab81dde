"""Nodes that are warmed for jobs to come, and one job for several nodes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ours
from tests.support.deltas import contents
from tests.support.nodes import NO_DAEMON, WORKER, Mesh, daemon_binary, running_with, star, worktype
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def several(kind: str, stores: Path) -> Iterator[Mesh]:
    """One embedded node, or a controller with three executors; each has a store of its own."""
    if kind == "embedded":
        with running_with(kind, [_work(stores, "exec-1")]) as mesh:
            mesh.wait_ready()
            yield mesh
        return
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    with tempfile.TemporaryDirectory(prefix="rrm-", dir="/tmp") as directory:
        work = {name: _work(stores, name) for name in ("exec-2", "exec-3", "exec-1")}
        mesh = star(Path(directory), binary, work)
        try:
            mesh.start()
            yield mesh
        finally:
            mesh.stop()


def _work(stores: Path, name: str) -> dict[str, object]:
    return worktype(params=f"{WORKER} --store {stores / name}")


@pytest.fixture(params=["embedded", pytest.param("daemon", marks=pytest.mark.daemon)])
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    with several(request.param, tmp_path / "stores") as started:
        yield started


@pytest.fixture
def job(make_dir: DirFactory) -> Path:
    directory = make_dir(tasks("debug: {msg: \"{{ lookup('file', 'large') | length }}\"}"))
    (directory / "project" / "large").write_text(os.urandom(400_000).hex())
    env = directory / "env"
    env.mkdir(exist_ok=True)
    (env / "extravars").write_text(json.dumps({"secret": "PLANTED"}))
    return directory


def executors(mesh: Mesh) -> list[str]:
    return sorted(node.name for node in mesh.nodes if node.name.startswith("exec"))


def test_prepared_nodes_need_next_to_nothing(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    names = executors(mesh)
    done = ours("prepare", *names, job, *mesh.arguments())
    assert done.returncode == 0, done.stderr
    said = dict(line.split(b": sent ") for line in done.stdout.splitlines())
    assert sorted(name.decode() for name in said) == names
    assert all(int(size.split()[0]) > 400_000 for size in said.values())
    for name in names:
        assert contents(tmp_path / "stores" / name)
        assert not any(b"PLANTED" in path.read_bytes() for path in contents(tmp_path / "stores" / name))
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    assert mesh.units() == [], "no unit is left"
    ran = mesh.run("run", job, "-p", "test.yml", "--delta", "--debug")
    assert ran.returncode == 0, ran.stderr
    assert sum(int(size) for size in re.findall(rb"(\d+) bytes are sent", ran.stderr)) < 5_000
    again = ours("prepare", *names, job, *mesh.arguments())
    assert all(int(size) < 5_000 for size in re.findall(rb"sent (\d+)", again.stdout))


def test_a_node_that_cannot_be_prepared_does_not_hold_up_the_others(mesh: Mesh, job: Path) -> None:
    done = ours("prepare", "exec-1", "nowhere", job, *mesh.arguments())
    assert done.returncode == 69
    assert b"exec-1: sent" in done.stdout
    assert re.search(rb"^receptor-runner: nowhere: ", done.stderr, re.MULTILINE)


def test_a_node_whose_store_cannot_be_used_any_more_is_told(mesh: Mesh, job: Path, tmp_path: Path) -> None:
    assert ours("prepare", "exec-1", job, *mesh.arguments()).returncode == 0
    store = tmp_path / "stores" / "exec-1"
    shutil.rmtree(store)
    store.write_text("a file is in its place")
    done = ours("prepare", "exec-1", job, *mesh.arguments())
    assert done.returncode == 69
    assert b"no store" in done.stderr
    words = ("-p", "test.yml", "--delta", "--debug", "--node", "exec-1", *mesh.arguments())
    runs = [ours("run", job, *words) for _ in range(3)]
    assert [one.returncode for one in runs] == [0, 0, 0]
    assert b"has no store any more" in runs[1].stderr
    assert runs[2].stderr.count(b"bytes are sent") == 1, "it is known by now"


def test_a_node_whose_store_is_too_small_is_told(job: Path, tmp_path: Path) -> None:
    """A controller that has prepared it sends everything."""
    (job / "project" / "noise").write_bytes(os.urandom(2_000_000))
    params = f"{WORKER} --store {tmp_path}/small --store-size 300K"
    with running_with("embedded", [worktype(params=params)]) as mesh:
        mesh.wait_ready()
        done = ours("prepare", mesh.executor.name, job, *mesh.arguments())
        assert done.returncode == 69
        assert b"its store may be too small" in done.stderr
        for _ in range(2):
            assert mesh.run("run", job, "-p", "test.yml", "--delta").returncode == 0


def test_one_job_goes_to_several_nodes_and_each_gets_what_it_lacks(mesh: Mesh, job: Path) -> None:
    names = executors(mesh)
    assert ours("prepare", names[0], job, *mesh.arguments()).returncode == 0
    words = [word for name in names for word in ("--to", name)]
    done = ours("submit", job, "-p", "test.yml", "-i", "all", "--delta", *words, *mesh.arguments())
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == [f"all-{name}" for name in names]
    for name in names:
        followed = ours("attach", f"all-{name}")
        assert followed.returncode == 0, followed.stderr
        assert b"800000" in followed.stdout
        assert json.loads(ours("status", f"all-{name}", "-o", "json").stdout)["node"] == name
    for_all = ours("attach", "all")
    assert for_all.returncode == 66
    assert f"there is no job all; is it all-{names[0]}".encode() in for_all.stderr
    same = ours("submit", job, "-p", "test.yml", "-i", "all", "--delta", *words, *mesh.arguments(), "--to", "nowhere")
    assert same.returncode == 69
    assert b"nowhere: " in same.stderr
    assert b"has ended" in same.stderr, "names are taken as ever"


def test_what_makes_no_sense_is_refused(job: Path) -> None:
    assert ours("prepare", job).returncode == 64
    assert ours("prepare", "exec-1").returncode == 64
    assert ours("submit", job, "-p", "test.yml", "--to", "a", "--node", "b", "--socket", "/none").returncode == 64
