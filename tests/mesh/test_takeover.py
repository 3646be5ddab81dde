"""Taking over: a job that another controller submitted, followed, cancelled and released from here.

The other controller is receptorctl, which keeps no record; we know the work unit's id on the node that runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from receptor_runner import Mesh as Client
from receptor_runner.errors import RefusedError
from tests.support.commands import BIN, ours
from tests.support.nodes import Mesh
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow


def submitted_elsewhere(mesh: Mesh, directory: Path) -> str:
    """Submits the job of ``directory`` as a stranger does, and returns its unit's id where it runs."""
    before = set(mesh.executor.units())
    payload = ours("transmit", directory, "-p", "test.yml", "-i", "theirs").stdout
    words = [str(BIN / "receptorctl"), "--socket", str(mesh.controller.socket), "work", "submit", "receptor-runner"]
    words += ["--node", mesh.executor.name, "--payload", "-"]
    if mesh.kind == "daemon-signed":
        words.append("--signwork")
    if mesh.kind == "daemon-tls":
        words += ["--tls-client", "cli"]
    subprocess.run(words, input=payload, check=True, capture_output=True, timeout=60)
    (unit,) = wait_for(lambda: set(mesh.executor.units()) - before, "the unit is at its node")
    return str(unit)


def take_over(mesh: Mesh, unit: str, to: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """From the last node but one: of three in a line, a third party."""
    from_node = mesh.controller if mesh.kind == "daemon-signed" else mesh.nodes[max(0, len(mesh.nodes) - 2)]
    words = ["-c", str(from_node.config), "--node", mesh.executor.name, "--unit", unit, "--private-data-dir", str(to)]
    return ours("attach", *words, *options)


def clear(mesh: Mesh) -> None:
    """The other controller's units go, from both ends."""
    for unit in mesh.controller.units():
        words = [str(BIN / "receptorctl"), "--socket", str(mesh.controller.socket), "work", "release", "--force", unit]
        subprocess.run(words, check=False, capture_output=True, timeout=60)
    wait_for(lambda: not mesh.units(), "no unit is left", 20)


def test_a_running_job_is_followed_from_its_beginning(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    """And the other controller misses nothing: its unit stays until a release is asked for."""
    unit = submitted_elsewhere(mesh, make_dir(tasks("debug: {msg: hello}", "command: sleep 1")))
    followed = take_over(mesh, unit, tmp_path / "here")
    assert followed.returncode == 0, followed.stderr
    assert b"hello" in followed.stdout
    artifacts = tmp_path / "here" / "artifacts" / unit
    assert (artifacts / "rc").read_text() == "0"
    assert [event["counter"] for event in events_of(artifacts)] == list(range(1, len(events_of(artifacts)) + 1))
    assert mesh.executor.units() == [unit]
    assert ours("attach", unit).stdout == b"", "nothing is said twice"
    view = json.loads(ours("status", unit, "-o", "json").stdout)
    assert (view["state"], view["adopted"], view["node"]) == ("successful", True, mesh.executor.name)
    assert ours("release", unit).returncode == 0
    wait_for(lambda: not mesh.executor.units(), "released there")
    clear(mesh)


def test_a_job_of_another_controller_is_cancelled_from_here(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    unit = submitted_elsewhere(mesh, make_dir(tasks("command: sleep 60")))
    config = str(mesh.controller.config)
    job = Client(config=config).adopt(mesh.executor.name, unit, ident="mine", private_data_dir=tmp_path / "here")
    results = mesh.executor.data / unit / "stdout"
    wait_for(lambda: results.exists() and b"runner_on_start" in results.read_bytes(), "the task runs")
    begun = Stopwatch()
    assert ours("cancel", "mine").returncode == 0
    assert begun.seconds() < 15
    outcome = job.follow()
    assert (outcome.state, outcome.exit_code) == ("canceled", 130)
    assert (tmp_path / "here" / "artifacts" / "mine" / "status").read_text() == "canceled"
    job.release()
    clear(mesh)


def test_a_unit_that_is_gone_cannot_be_taken_over(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    gone = take_over(mesh, "0nothere", tmp_path)
    assert gone.returncode == 74
    assert gone.stderr.count(b"\n") == 1
    words = ["-c", str(mesh.controller.config), "--unit", "0nothere"]
    assert ours("attach", *words, "--node", "nowhere").returncode == 69
    assert ours("attach", *words).returncode == 64
    assert ours("attach", "job", *words).returncode == 64
    assert ours("attach").returncode == 64
    assert json.loads(ours("jobs", "-o", "json").stdout) == []


@pytest.mark.daemon
def test_a_signed_worktype_wants_the_key(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    if mesh.kind != "daemon-signed":
        pytest.skip("the worktypes of this mesh are not signed")
    unit = submitted_elsewhere(mesh, make_dir(tasks("debug: {msg: hello}")))
    client = Client(str(mesh.controller.socket))
    with pytest.raises(RefusedError, match="work-signing"):
        client.adopt(mesh.executor.name, unit, private_data_dir=tmp_path)
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    clear(mesh)


def test_prune_forgets_an_adopted_job_and_releases_nothing(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    unit = submitted_elsewhere(mesh, make_dir(tasks("debug: {msg: hello}")))
    assert take_over(mesh, unit, tmp_path / "here", "-q").returncode == 0
    assert ours("prune", "--yes").returncode == 0
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    assert mesh.executor.units() == [unit]
    clear(mesh)
