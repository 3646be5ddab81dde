"""A sealed job in isolation: the engine, which keeps files of its own, learns nothing of it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.engines import Engine, Podman
from tests.support.jobs import processed, start, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code, wait_for
from tests.support.sealed_jobs import sealed, trusted_key

pytestmark = pytest.mark.slow

PLANTED = "PLANTED-S3CRET"
ODD = f"{PLANTED} \"a\" 'b' $HOME `id` \\\n\ttwo lines"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return trusted_key(tmp_path)


def telling(podman: Podman) -> list[Path]:
    """The files of the engine that have something of the job."""
    tops = (podman.directory / "graph", podman.runtime)
    files = [path for top in tops for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "config.json" for path in files), "a container is there"
    return [path for path in files if PLANTED.encode() in path.read_bytes()]


def test_the_engine_learns_nothing_of_a_sealed_job(
    podman: Podman, key: Path, make_dir: DirFactory, temporary: Path, tmp_path: Path
) -> None:
    say = "debug: {msg: \"{{ lookup('env', 'OF_THE_JOB') | to_json }} {{ b }} {{ c }} {{ d }}\"}"
    directory = make_dir(
        tasks(say, "wait_for: {path: /runner/project/go, sleep: 1, timeout: 60}"),
        env__envvars=json.dumps({"OF_THE_JOB": ODD, "ANSIBLE_FORKS": "3", "ANSIBLE_X": PLANTED}),
        env__extravars=json.dumps({"b": f"{PLANTED}-variable"}),
        env__cmdline=f"-e d={PLANTED}-cmdline",
    )
    stream = sealed(directory, "-p", "test.yml", "-e", f"c={PLANTED}-option", *podman.options())
    results = tmp_path / "results"
    worker = start(stream, "--seal-key", str(key), results=results)
    wait_for(lambda: b"-option" in results.read_bytes(), "it says it")
    assert telling(podman) == []
    (own,) = temporary.glob("receptor-runner-*")
    (own / "project" / "go").touch()
    assert exit_code(worker, 60) == 0
    assert not list(temporary.glob("receptor-runner-*"))
    artifacts = processed(results.read_bytes(), tmp_path / "after")
    said = (artifacts / "stdout").read_text()
    for word in (json.dumps(json.dumps(ODD))[1:-1], f"{PLANTED}-variable", f"{PLANTED}-option", f"{PLANTED}-cmdline"):
        assert word in said
    assert podman.around(artifacts)


def test_a_sealed_job_is_interrupted_as_any(
    podman: Podman, key: Path, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    results = tmp_path / "results"
    stream = sealed(make_dir(args="sh -c 'echo ready; sleep 600'"), *podman.options())
    worker = start(stream, "--seal-key", str(key), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the command runs")
    worker.send_signal(signal.SIGINT)
    assert exit_code(worker, 20) == 130


@pytest.mark.parametrize(
    ("args", "code", "said"), [("sh -c 'exit 250'", 250, ""), ("nowhere", 69, "it must have that program")]
)
def test_a_sealed_job_that_goes_wrong_says_so(
    args: str, code: int, said: str, engine: Engine, key: Path, make_dir: DirFactory
) -> None:
    done = work(sealed(make_dir(args=args), *engine.options()), "--seal-key", str(key))
    assert done.returncode == code
    assert said in statuses(done.stdout)[-1].get("job_explanation", "")


def test_a_variable_that_cannot_be_hidden_is_refused(podman: Podman, key: Path, make_dir: DirFactory) -> None:
    directory = make_dir(args="true", env__envvars=json.dumps({"a.b": PLANTED}))
    done = work(sealed(directory, *podman.options()), "--seal-key", str(key))
    assert done.returncode == 78
    assert "'a.b' cannot be passed to a sealed job in a container" in statuses(done.stdout)[-1]["job_explanation"]
    assert PLANTED.encode() not in done.stdout


def test_a_sealed_job_runs_in_memory(
    engine: Engine, key: Path, in_memory: Path, make_dir: DirFactory, no_leftovers: Path
) -> None:
    stream = sealed(make_dir(tasks("debug: {msg: hello}")), "-p", "test.yml", *engine.options())
    done = work(stream, "--seal-key", str(key), "--seal-dir", str(in_memory))
    assert (done.returncode, statuses(done.stdout)[-1]["status"]) == (0, "successful"), done.stdout[-2000:]
    assert os.listdir(in_memory) == []
