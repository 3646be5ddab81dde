"""Jobs over a mesh, as users run them: each scenario on the embedded node and on the real daemon."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from receptor_runner import Job
from receptor_runner import Mesh as Client
from tests.support.commands import OURS, ours
from tests.support.nodes import Mesh
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch, exit_code, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow


def lines_of(path: Path) -> str:
    return (path / "stdout").read_text()


def state(job: str) -> str:
    return str(json.loads(ours("status", job, "-o", "json").stdout)["state"])


@pytest.fixture(autouse=True)
def _no_units_left(mesh: Mesh) -> object:
    yield
    wait_for(lambda: not mesh.units(), "no unit is left", 20)


def test_a_job_runs_there_as_it_runs_here(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(
        tasks("debug: {msg: hello}", "copy: {content: x, dest: '{{ playbook_dir }}/../artifacts/j/x'}")
    )
    here = make_dir(
        tasks("debug: {msg: hello}", "copy: {content: x, dest: '{{ playbook_dir }}/../artifacts/j/x'}"), name="h"
    )
    there = mesh.run("run", directory, "-p", "test.yml", "-i", "j")
    assert there.returncode == 0, there.stderr
    assert there.stderr == b""
    assert ours("run", here, "-p", "test.yml", "-i", "j").stdout == there.stdout
    far, near = directory / "artifacts" / "j", here / "artifacts" / "j"
    assert [e["event"] for e in events_of(far)] == [e["event"] for e in events_of(near)]
    assert sorted(p.name for p in far.iterdir()) == sorted(p.name for p in near.iterdir())
    assert json.loads(ours("jobs", "-o", "json").stdout) == []


@pytest.mark.parametrize(("playbook", "code"), [(tasks("command: /bin/false"), 2), ("not a playbook", 4)])
def test_a_failed_job_has_its_exit_status(playbook: str, code: int, mesh: Mesh, make_dir: DirFactory) -> None:
    assert mesh.run("run", make_dir(playbook), "-p", "test.yml", "-q").returncode == code


def test_a_job_times_out(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: sleep 60"), env__settings="job_timeout: 2")
    assert mesh.run("run", directory, "-p", "test.yml", "-q").returncode == 124


def test_a_submitted_job_is_attached_to(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}", "command: sleep 4"))
    submitted = mesh.run("submit", directory, "-p", "test.yml", "-i", "job-1")
    assert submitted.stdout == b"job-1\n"
    again = mesh.run("submit", directory, "-p", "test.yml", "-i", "job-1")
    assert (again.returncode, again.stdout) == (0, b"job-1\n")
    assert len(mesh.controller.units()) == 1
    assert ours("wait", "job-1", "--timeout", "60").returncode == 0
    assert state("job-1") == "successful"
    attached = ours("attach", "job-1")
    assert attached.returncode == 0
    assert b"hello" in attached.stdout
    assert state("job-1") == "successful"
    assert ours("attach", "job-1").stdout == b"", "nothing is said twice"
    assert ours("release", "job-1").returncode == 0
    assert ours("status", "job-1").returncode == 66


def test_the_same_name_for_another_directory_is_refused(mesh: Mesh, make_dir: DirFactory) -> None:
    mesh.run("submit", make_dir(tasks("debug: {msg: a}")), "-p", "test.yml", "-i", "n")
    other = mesh.run("submit", make_dir(tasks("debug: {msg: b}"), name="other"), "-p", "test.yml", "-i", "n")
    assert other.returncode == 64
    assert b"release" in other.stderr
    assert ours("attach", "n", "-q").returncode == 0


@pytest.mark.parametrize("how", ["ctrl-c", "command"])
def test_a_running_job_is_cancelled(how: str, mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("command: sleep 60"))
    run = mesh.popen("run", directory, "-p", "test.yml", "-i", "c", stdout=subprocess.DEVNULL)
    events = directory / "artifacts" / "c" / "job_events"
    wait_for(lambda: any("runner_on_start" in p.read_text() for p in events.glob("*.json")), "the task runs", 30)
    begun = Stopwatch()
    if how == "ctrl-c":
        run.send_signal(signal.SIGINT)
    else:
        cancelled = ours("cancel", "c")
        assert cancelled.returncode == 0, cancelled.stderr
    assert exit_code(run, 20) == 130
    assert begun.seconds() < 12
    assert (directory / "artifacts" / "c" / "status").read_text() == "canceled"


def test_a_cancel_callback_cancels_the_job(mesh: Mesh, make_dir: DirFactory) -> None:
    """And the follower reads on, until the job has said how it ended."""
    directory = make_dir(tasks("command: sleep 60"))
    client = Client(str(mesh.controller.socket), tlsclient="cli" if mesh.kind == "daemon-tls" else None)
    seen: list[str] = []
    submitted = client.submit(Job(directory, ident="cb", playbook="test.yml"), mesh.executor.name)
    outcome = submitted.follow(
        event_handler=lambda event: seen.append(event["event"]), cancel_callback=lambda: "runner_on_start" in seen
    )
    assert (outcome.state, outcome.exit_code) == ("canceled", 130)
    assert (directory / "artifacts" / "cb" / "status").read_text() == "canceled"
    assert submitted.record.released


def test_run_refuses_the_name_of_a_job_until_its_results_are_saved(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    words = [str(directory), "-p", "test.yml", "-i", "name"]
    mesh.run("submit", *words)
    refused = mesh.run("run", *words)
    assert refused.returncode == 64
    assert b"attach name" in refused.stderr
    assert ours("attach", "name", "-q").returncode == 0
    assert b"hello" in mesh.run("run", *words).stdout, "its results were saved: this is another job"


def test_sighup_detaches_and_attach_goes_on(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: sleep 3", "debug: {msg: later}"))
    run = mesh.popen("run", directory, "-p", "test.yml", "-i", "d", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    events = directory / "artifacts" / "d" / "job_events"
    wait_for(lambda: any("runner_on_start" in p.read_text() for p in events.glob("*.json")), "the task runs", 30)
    run.send_signal(signal.SIGHUP)
    _, errors = run.communicate(timeout=90)
    assert run.returncode == 75
    assert b"attach d" in errors
    assert ours("wait", "d", "--timeout", "0").returncode == 75
    attached = ours("attach", "d")
    assert attached.returncode == 0
    assert b"later" in attached.stdout
    counters = [event["counter"] for event in events_of(directory / "artifacts" / "d")]
    assert counters == list(range(1, len(counters) + 1))
    ours("release", "d")


def test_a_job_has_one_follower(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: sleep 4"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "one")
    first = subprocess.Popen([*OURS, "attach", "one", "-q"])
    wait_for((directory / "artifacts" / "one").exists, "the first follows")
    second = ours("attach", "one")
    assert second.returncode == 73
    assert b"another process" in second.stderr
    assert exit_code(first, 90) == 0


def test_an_unknown_node_or_worktype_is_69(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: no}"))
    unknown = ours("run", directory, "-p", "test.yml", *mesh.arguments(), "--node", "nowhere")
    assert unknown.returncode == 69
    assert b"nowhere" in unknown.stderr
    unknown = mesh.run("run", directory, "-p", "test.yml", "--worktype", "nothing")
    assert unknown.returncode == 69
    assert b"receptor-runner" in unknown.stderr, "what is offered is said"
    assert ours("jobs", "-o", "json").stdout.strip() == b"[]"


def test_a_pending_job_is_cancelled(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: no}"))
    words = [str(directory), "-p", "test.yml", "-i", "p", *mesh.arguments(), "--node", "absent", "--ttl", "1h"]
    assert ours("submit", *words).returncode == 0
    assert state("p") == "pending"
    cancelled = ours("cancel", "p")
    assert cancelled.returncode == 0, cancelled.stderr
    assert ours("attach", "p").returncode == 130
    ours("release", "p")


def test_a_ttl_expires(mesh: Mesh, make_dir: DirFactory) -> None:
    words = [
        str(make_dir(tasks("debug: {msg: no}"))),
        "-p",
        "test.yml",
        *mesh.arguments(),
        "--node",
        "absent",
        "--ttl",
        "3s",
    ]
    begun = Stopwatch()
    expired = ours("run", *words)
    assert expired.returncode == 69, expired.stderr
    assert b"expired" in expired.stderr
    assert begun.seconds() < 15


def test_a_stranger_after_our_stream_is_no_harm(mesh: Mesh, make_dir: DirFactory) -> None:
    """The plain pipe, with receptorctl alone in the middle."""
    if mesh.kind in ("daemon-signed", "daemon-tls"):
        pytest.skip("receptorctl needs other options there")
    directory = make_dir(tasks("debug: {msg: hello}"))
    submit = f"receptorctl --socket {mesh.controller.socket} work submit receptor-runner"
    where = "" if len(mesh.nodes) == 1 else f"--node {mesh.executor.name}"
    ours_ = " ".join(OURS)
    line = f"{ours_} transmit {directory} -p test.yml | {submit} {where} -f --rm -p - | {ours_} process {directory}"
    done = subprocess.run(line, shell=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"hello" in done.stdout


def test_the_daemons_configuration_is_enough(mesh: Mesh, make_dir: DirFactory) -> None:
    """Socket and TLS client are found in it."""
    done = ours(
        "run", make_dir(tasks("debug: {msg: hello}")), "-p", "test.yml", "-c", mesh.controller.config,
        "--node", mesh.executor.name,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"hello" in done.stdout


def test_run_tells_the_end_of_a_job_as_json(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: /bin/false"))
    done = mesh.run("run", directory, "-p", "test.yml", "-i", "m", "-o", "json")
    view = json.loads(done.stdout)
    assert done.returncode == 2
    assert (view["id"], view["state"], view["rc"], view["exit_code"]) == ("m", "failed", 2, 2)
    submitted = mesh.run("submit", directory, "-p", "test.yml", "-i", "m", "-o", "json")
    assert json.loads(submitted.stdout)["node"] == mesh.executor.name
    assert json.loads(ours("attach", "m", "-o", "json").stdout)["artifact_dir"] == str(directory / "artifacts" / "m")
