"""A worker that works on sealed jobs in memory: nothing of them is ever on its disk, however they end."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptor_runner.records.trusted_keys import TrustedKeys
from receptor_runner.sealing.node_key import NodeKey
from receptor_runner.system.mounts import IN_MEMORY, file_system_of
from tests.support.commands import ours
from tests.support.jobs import job, processed, start, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import is_alive, kill_at_once, make_old, wait_for

pytestmark = pytest.mark.slow

MEMORY = "/dev/shm"
PLANTED = "PLANTED-S3CRET"
WHERE = tasks("debug: {msg: \"in {{ playbook_dir }} with {{ lookup('env', 'TMPDIR') }}\"}")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The key of the node, which this controller trusts."""
    path = tmp_path / "key"
    TrustedKeys().trust("node", NodeKey(str(path)).make(), None)
    return path


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory that no disk has; empty in the end if workers clean up."""
    if file_system_of(MEMORY) not in IN_MEMORY:
        pytest.skip(f"{MEMORY} is not in memory")
    with tempfile.TemporaryDirectory(prefix="rrt-", dir=MEMORY) as directory:
        yield Path(directory)
        assert not os.listdir(directory)


def sealed(directory: Path, *options: str) -> bytes:
    done = ours("transmit", directory, "-p", "test.yml", *options, "-i", "job", "--seal-for", "node")
    assert done.returncode == 0, done.stderr
    return done.stdout


def said(stream: bytes, directory: Path) -> str:
    return (processed(stream, directory) / "stdout").read_text()


def test_a_sealed_job_works_there_and_any_other_where_it_did(
    key: Path, in_memory: Path, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    options = ("--seal-key", str(key), "--seal-dir", str(in_memory))
    done = work(sealed(make_dir(WHERE)), *options)
    text = said(done.stdout, tmp_path / "sealed")
    assert f"in {in_memory}/receptor-runner-job-" in text
    assert f"with {in_memory}/rrj-" in text
    open_one = work(job(make_dir(WHERE, name="open")), *options)
    assert f"in {no_leftovers}/receptor-runner-job-" in said(open_one.stdout, tmp_path / "open one")
    named = work(sealed(make_dir(WHERE, name="named")), *options, "--private-data-dir", str(tmp_path / "named there"))
    assert f"in {tmp_path}/named there/project" in said(named.stdout, tmp_path / "named one")


def test_whatever_kills_all_of_it_leaves_nothing_on_the_disk(
    key: Path,
    in_memory: Path,
    make_dir: DirFactory,
    tmp_path: Path,
    no_leftovers: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a later job removes what it left in memory, as it would on the disk."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    book = tasks(f"debug: {{msg: {PLANTED}}}", "wait_for: {path: /there/is/none, sleep: 1, timeout: 600}")
    directory = make_dir(
        book,
        env__envvars=json.dumps({"OF_THE_JOB": PLANTED}),
        env__extravars=json.dumps({"b": f"{PLANTED}-variable"}),
        env__passwords=json.dumps({"^unlikely$": f"{PLANTED}-password"}),
        env__cmdline=f"-e d={PLANTED}-cmdline",
    )
    stream = sealed(directory)
    options = ("--seal-key", str(key), "--seal-dir", str(in_memory))
    results = tmp_path / "results"
    worker = start(stream, *options, results=results)
    wait_for(lambda: PLANTED.encode() in results.read_bytes(), "it says it")
    assert any(PLANTED.encode() in path.read_bytes() for path in in_memory.rglob("*") if path.is_file())
    kill_at_once(worker)
    assert not is_alive(worker.pid)
    files = [path for top in (no_leftovers, home) for path in top.rglob("*") if path.is_file()]
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []
    make_old([*in_memory.iterdir(), *no_leftovers.iterdir()])
    assert work(sealed(make_dir(WHERE, name="later")), *options).returncode == 0


def test_a_place_that_is_missing_refuses_a_sealed_job(key: Path, make_dir: DirFactory, no_leftovers: Path) -> None:
    options = ("--seal-key", str(key), "--seal-dir", "/there/is/none")
    done = work(sealed(make_dir(WHERE)), *options)
    assert done.returncode == 73
    assert "cannot make a temporary directory in /there/is/none" in statuses(done.stdout)[-1]["job_explanation"]
    assert work(job(make_dir(WHERE, name="open")), *options).returncode == 0
    told = json.loads(ours("worker", *options, "--worker-info").stdout)
    assert told["seals_in_memory"] is False
    assert any("cannot work in /there/is/none" in error for error in told["errors"])


def test_a_node_tells_whether_it_works_on_sealed_jobs_in_memory(key: Path, in_memory: Path, tmp_path: Path) -> None:
    def told(*options: str | Path) -> object:
        return json.loads(ours("worker", *options, "--worker-info").stdout)["seals_in_memory"]

    assert told("--seal-key", key, "--seal-dir", in_memory) is True
    assert told("--seal-key", tmp_path / "none", "--seal-dir", in_memory) is None
