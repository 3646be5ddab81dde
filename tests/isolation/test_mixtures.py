"""Isolated jobs through mixtures with ansible-runner, and images with an older ansible-core."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import BIN, OURS, ours
from tests.support.engines import Podman
from tests.support.jobs import job, processed, work
from tests.support.private_data import DirFactory, tasks
from tests.support.rootfs import build
from tests.support.streams import events_of

pytestmark = pytest.mark.slow

PLAY = tasks("name: say\ndebug: {msg: hello}", "name: fall\ncommand: /bin/false\nignore_errors: true")
THEIRS = [str(BIN / "ansible-runner")]
#: The oldest that the callback plugin is for; it needs no newer Python than there was.
OLD_CORE = "ansible-core==2.13.13"


@pytest.mark.parametrize("stages", ["ours theirs ours", "theirs ours theirs", "theirs ours ours", "ours ours theirs"])
def test_stages_mix_when_the_job_is_in_a_container(
    stages: str, podman: Podman, make_dir: DirFactory, tmp_path: Path
) -> None:
    """What switches isolation on travels in ``env/settings``: ansible-runner's transmit knows no option for it."""
    directory = make_dir(PLAY, env__settings=json.dumps(podman.settings(container_options=["--user=0"])))
    transmit, worker, process = ({"ours": OURS, "theirs": THEIRS}[name] for name in stages.split())
    arguments = ["-p", "test.yml", "-i", "job"]
    stream = subprocess.run([*transmit, "transmit", directory, *arguments], capture_output=True, check=True).stdout
    results = subprocess.run([*worker, "worker"], input=stream, capture_output=True, check=True).stdout
    after = tmp_path / "after"
    subprocess.run([*process, "process", after, "-i", "job"], input=results, capture_output=True, check=True)
    artifacts = after / "artifacts" / "job"
    assert (artifacts / "status").read_text() == "successful"
    assert podman.around(artifacts)
    found = [(e["event"], e.get("event_data", {}).get("task")) for e in events_of(artifacts) if e["event"] != "verbose"]
    plain = processed(work(job(make_dir(PLAY, name="outside"))).stdout, tmp_path / "outside")
    expected = [(e["event"], e.get("event_data", {}).get("task")) for e in events_of(plain) if e["event"] != "verbose"]
    assert found == expected


def test_their_worker_runs_what_an_option_of_ours_asks_for(
    podman: Podman, make_dir: DirFactory, tmp_path: Path
) -> None:
    stream = ours("transmit", make_dir(PLAY), "-p", "test.yml", "-i", "job", *podman.options()).stdout
    results = subprocess.run([*THEIRS, "worker"], input=stream, capture_output=True, check=True).stdout
    artifacts = processed(results, tmp_path / "after")
    assert (artifacts / "status").read_text() == "successful"
    assert podman.around(artifacts)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="an ansible-core that old does not run on this Python")
def test_an_image_with_an_old_ansible_core(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), OLD_CORE]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{OLD_CORE} cannot be installed: {done.stderr.strip()[-200:]}")
    build(tmp_path / "old.tar", packages)
    podman.make_image(tmp_path / "old.tar", "localhost/old-core:1")
    try:
        done_job = work(job(make_dir(PLAY), **podman.settings(container_image="localhost/old-core:1")))
    finally:
        podman("rmi", "localhost/old-core:1")
    assert done_job.returncode == 0
    events = events_of(processed(done_job.stdout, tmp_path / "after"))
    assert [e["counter"] for e in events] == list(range(1, len(events) + 1))
    names = [e["event"] for e in events if e["event"] not in ("verbose", "warning", "deprecated")]
    assert names == [
        "playbook_on_start", "playbook_on_play_start", "playbook_on_task_start", "runner_on_start", "runner_on_ok",
        "playbook_on_task_start", "runner_on_start", "runner_on_failed", "playbook_on_stats",
    ]  # fmt: skip


def test_the_options_of_an_execution_environment(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    """What AWX sends for a job in an execution environment, its list of options included."""
    (tmp_path / "pki").mkdir()
    options = ["--user=root", "--network", "none", "--pull=missing"]
    parameters = podman.settings(
        container_options=options,
        container_volume_mounts=[f"{tmp_path}/pki:/etc/pki/ca-trust:O"],
        envvars={"JOB_ID": "42", "ANSIBLE_HOME": "/runner", "AWX_HOST": "https://awx"},
        suppress_env_files=True,
        passwords={"SSH password:\\s*?$": "x", "BECOME password.*:\\s*?$": "y"},
        fact_cache_type="",
    )
    done = work(job(make_dir(PLAY), **{**parameters, "ident": 42}))
    assert done.returncode == 0, done.stdout
    events = events_of(processed(done.stdout, tmp_path / "after"))
    assert {event.get("job_id") for event in events if event["event"] != "verbose"} == {42}


def test_an_image_on_the_command_line_is_enough(podman: Podman, tmp_path: Path, make_dir: DirFactory) -> None:
    """Choosing an image on the command line is enough."""
    directory = make_dir(PLAY)
    done = ours("run", directory, "-p", "test.yml", "-i", "job", *podman.options())
    assert done.returncode == 0
    assert podman.around(directory / "artifacts" / "job")
    assert b"hello" in done.stdout
