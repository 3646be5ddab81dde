"""A worker that works on sealed jobs in memory: nothing of them is ever on its disk, however they end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ours
from tests.support.jobs import job, processed, start, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import kill_all_of, make_old, processes_with, wait_for
from tests.support.sealed_jobs import sealed, trusted_key

pytestmark = pytest.mark.slow

PLANTED = "PLANTED-S3CRET"
WHERE = tasks("debug: {msg: \"in {{ playbook_dir }} with {{ lookup('env', 'TMPDIR') }}\"}")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return trusted_key(tmp_path)


@pytest.fixture
def seal_dir(in_memory: Path) -> Iterator[Path]:
    """A directory in memory; empty in the end if workers clean up."""
    yield in_memory
    assert not os.listdir(in_memory)


def sealed_book(directory: Path) -> bytes:
    return sealed(directory, "-p", "test.yml")


def said(stream: bytes, directory: Path) -> str:
    return (processed(stream, directory) / "stdout").read_text()


def test_a_sealed_job_works_there_and_any_other_where_it_did(
    key: Path, seal_dir: Path, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    options = ("--seal-key", str(key), "--seal-dir", str(seal_dir))
    done = work(sealed_book(make_dir(WHERE)), *options)
    text = said(done.stdout, tmp_path / "sealed")
    assert f"in {seal_dir}/receptor-runner-job-" in text
    assert f"with {seal_dir}/rrj-" in text
    open_one = work(job(make_dir(WHERE, name="open")), *options)
    assert f"in {no_leftovers}/receptor-runner-job-" in said(open_one.stdout, tmp_path / "open one")
    named = work(
        sealed_book(make_dir(WHERE, name="named")), *options, "--private-data-dir", str(tmp_path / "named there")
    )
    assert f"in {tmp_path}/named there/project" in said(named.stdout, tmp_path / "named one")


def test_whatever_kills_all_of_it_leaves_nothing_on_the_disk(
    key: Path,
    seal_dir: Path,
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
    stream = sealed_book(directory)
    options = ("--seal-key", str(key), "--seal-dir", str(seal_dir))
    results = tmp_path / "results"
    worker = start(stream, *options, results=results)
    wait_for(lambda: PLANTED.encode() in results.read_bytes(), "it says it")
    assert any(PLANTED.encode() in path.read_bytes() for path in seal_dir.rglob("*") if path.is_file())
    kill_all_of(worker)
    wait_for(lambda: not processes_with(str(seal_dir)), "they are dead")
    files = [path for top in (no_leftovers, home) for path in top.rglob("*") if path.is_file()]
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []
    make_old([*seal_dir.iterdir(), *no_leftovers.iterdir()])
    assert work(sealed_book(make_dir(WHERE, name="later")), *options).returncode == 0


def test_a_place_that_is_missing_refuses_a_sealed_job(key: Path, make_dir: DirFactory, no_leftovers: Path) -> None:
    options = ("--seal-key", str(key), "--seal-dir", "/there/is/none")
    done = work(sealed_book(make_dir(WHERE)), *options)
    assert done.returncode == 73
    assert "cannot make a temporary directory in /there/is/none" in statuses(done.stdout)[-1]["job_explanation"]
    assert work(job(make_dir(WHERE, name="open")), *options).returncode == 0
    told = json.loads(ours("worker", *options, "--worker-info").stdout)
    assert told["seals_in_memory"] is False
    assert any("cannot work in /there/is/none" in error for error in told["errors"])


def test_a_node_tells_whether_it_works_on_sealed_jobs_in_memory(key: Path, seal_dir: Path, tmp_path: Path) -> None:
    def told(*options: str | Path) -> object:
        return json.loads(ours("worker", *options, "--worker-info").stdout)["seals_in_memory"]

    assert told("--seal-key", key, "--seal-dir", seal_dir) is True
    assert told("--seal-key", tmp_path / "none", "--seal-dir", seal_dir) is None
