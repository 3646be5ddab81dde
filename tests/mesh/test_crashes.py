"""Whatever is killed, cut or frozen between a job and its follower: nothing is lost, nothing is said that is not so.

The artifacts are compared with those that ``process`` makes of the unit's own results, read undisturbed from disk."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.commands import CHILDREN, OURS, ours
from tests.support.nodes import Mesh, Node
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code, processes_with, wait_for, words_of
from tests.support.sealed_results import unseal
from tests.support.streams import events_of

pytestmark = pytest.mark.slow

#: The second of each pair: whether jobs and results are sealed, and only what the node lacks travels.
KINDS = [
    pytest.param(("embedded-1.4", False), id="embedded"),
    pytest.param(("embedded-1.4", True), id="embedded-sealed"),
    pytest.param(("daemon", False), id="daemon", marks=pytest.mark.daemon),
    pytest.param(("daemon", True), id="daemon-sealed", marks=pytest.mark.daemon),
]
#: Some seconds of events, some of them large.
TALKATIVE = tasks(
    "command: sleep 0.15\nloop: '{{ range(12) | list }}'",
    "debug: {msg: '{{ \"x\" * 200000 }}'}\nloop: '{{ range(5) | list }}'",
    "command: sleep 0.15\nloop: '{{ range(12) | list }}'",
)


@pytest.fixture(params=KINDS)
def mesh(request: pytest.FixtureRequest, new_mesh: Callable[[str], Mesh], monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """One that a test may break."""
    kind, sealed = request.param
    made = new_mesh(kind)
    if sealed:
        seal_all(made, monkeypatch)
    return made


def seal_all(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on jobs and results are sealed, and only what the node lacks travels."""
    assert ours("worker", "seal-key").returncode == 0
    assert ours("trust", mesh.executor.name, *mesh.arguments()).returncode == 0
    monkeypatch.setenv("RECEPTOR_RUNNER_DELTA", "1")
    monkeypatch.setenv("RECEPTOR_RUNNER_SEAL_RESULTS", "1")


def follower(job: str, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(CHILDREN / "follower.py"), job, str(log)], stderr=subprocess.DEVNULL)


def results_of(mesh: Mesh) -> Path:
    (unit,) = mesh.executor.units()
    return mesh.executor.data / unit / "stdout"


def tree(top: Path) -> dict[str, bytes]:
    return {str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}


def check_whole(artifacts: Path, results: Path, tmp_path: Path) -> None:
    """What the follower saved is what the stage makes of the same results, byte for byte."""
    unseal(results, artifacts.name)
    ours("process", tmp_path / "whole", "-q", "--in", results)
    assert tree(artifacts) == tree(tmp_path / "whole" / "artifacts")


def check_handled(artifacts: Path, log: Path, repeats: int) -> None:
    seen = [int(line) for line in log.read_text().split()]
    assert set(seen) == {event["counter"] for event in events_of(artifacts)}
    assert len(seen) - len(set(seen)) <= repeats, "an event comes twice only if its follower died with it"
    assert Path(f"{log}.finished").read_text() == "finished\n"


def check_delivered(directory: Path, tmp_path: Path, repeats: int) -> None:
    """Artifacts and handlers alike had all of the results that were kept."""
    check_whole(directory / "artifacts" / "j", tmp_path / "results", tmp_path)
    check_handled(directory / "artifacts" / "j", tmp_path / "log", repeats)


def submit(mesh: Mesh, directory: Path, name: str = "j") -> None:
    done = mesh.run("submit", directory, "-p", "test.yml", "-i", name)
    assert done.returncode == 0, done.stderr


def ended(job: str) -> bool:
    return ours("wait", job, "--timeout", "0").returncode != 75


def test_the_follower_is_killed_again_and_again(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory, moments = make_dir(TALKATIVE), random.Random(mesh.kind)
    submit(mesh, directory)
    keeper = keep_results(mesh, tmp_path / "results")
    kills = 0
    while not ended("j"):
        process = follower("j", tmp_path / "log")
        time.sleep(moments.uniform(0.2, 1.0))
        process.kill()
        process.wait()
        kills += 1
    assert follower("j", tmp_path / "log").wait(60) == 0
    keeper.result()
    check_delivered(directory, tmp_path, kills)


def keep_results(mesh: Mesh, to: Path) -> Future[None]:
    """A hard link keeps the unit's results when the unit is released; done once it is there."""

    def link() -> None:
        wait_for(lambda: mesh.executor.units() and results_of(mesh).exists(), "the unit has results")
        os.link(results_of(mesh), to)

    pool = ThreadPoolExecutor(1)
    keeper = pool.submit(link)
    pool.shutdown(wait=False)
    return keeper


def test_the_controllers_node_is_killed_and_comes_back(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory, moments = make_dir(TALKATIVE), random.Random(mesh.kind)
    submit(mesh, directory)
    keeper = keep_results(mesh, tmp_path / "results")
    process = follower("j", tmp_path / "log")
    for _ in range(3):
        time.sleep(moments.uniform(0.3, 1.5))
        mesh.controller.kill()
        time.sleep(moments.uniform(0.0, 0.5))
        mesh.controller.start()
    assert exit_code(process, 120) == 0
    keeper.result()
    check_delivered(directory, tmp_path, 0)
    wait_for(lambda: not mesh.units(), "no unit is left", 30)


@pytest.mark.daemon
@pytest.mark.parametrize("mesh", [("daemon", False), ("daemon", True), ("daemon-signed", False)], indirect=True)
def test_the_executors_daemon_is_killed_and_comes_back(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    """Its results lag by 45 s when they are read through the other daemon: that is not lost."""
    directory = make_dir(TALKATIVE)
    submit(mesh, directory)
    keeper = keep_results(mesh, tmp_path / "results")
    process = follower("j", tmp_path / "log")
    keeper.result()
    time.sleep(random.Random(mesh.kind).uniform(1, 3))
    mesh.executor.kill()
    time.sleep(2)
    mesh.executor.start()
    assert exit_code(process, 150) == 0
    check_delivered(directory, tmp_path, 0)


@pytest.mark.daemon
@pytest.mark.parametrize("mesh", [("daemon", False), ("daemon", True)], indirect=True)
def test_a_frozen_executor_is_not_lost(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(TALKATIVE)
    submit(mesh, directory)
    process = follower("j", tmp_path / "log")
    wait_for((directory / "artifacts" / "j" / "job_events").exists, "it follows")
    mesh.executor.signal(signal.SIGSTOP)
    time.sleep(40)
    mesh.executor.signal(signal.SIGCONT)
    assert exit_code(process, 120) == 0
    check_handled(directory / "artifacts" / "j", tmp_path / "log", 0)


class _Cutter:
    """A socket before a node's socket, which cuts what passes through it."""

    def __init__(self, path: Path, target: Node, moments: random.Random) -> None:
        self._target = str(target.socket)
        self._moments = moments
        self.cuts = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=[client], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._target)
            left = self._moments.choice([300, 5_000, 60_000, 400_000])
            ways = {client: server, server: client}
            while ways and left > 0:
                for ready in select.select(list(ways), [], [], 60)[0]:
                    data = ready.recv(4096)
                    if not data:
                        ways.pop(ready).shutdown(socket.SHUT_WR)
                        continue
                    left -= len(data)
                    ways.get(ready, server).sendall(data)
            self.cuts += left <= 0

    def close(self) -> None:
        self._listener.close()


def test_cut_connections_lose_nothing(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(TALKATIVE)
    cutter = _Cutter(mesh.controller.directory / "cut", mesh.controller, random.Random(0))
    submit(mesh, directory)
    keeper = keep_results(mesh, tmp_path / "results")
    record = Path(os.environ["XDG_STATE_HOME"]) / "receptor-runner" / "jobs" / "j" / "job.json"
    text = record.read_text().replace(str(mesh.controller.socket), str(mesh.controller.directory / "cut"))
    record.write_text(text)
    assert follower("j", tmp_path / "log").wait(120) == 0
    cutter.close()
    keeper.result()
    assert cutter.cuts
    check_delivered(directory, tmp_path, 0)


SLEEPING = tasks("debug: {msg: begun}", "command: sleep 100")


@contextlib.contextmanager
def sleeping_job(mesh: Mesh, directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """A followed job in its long task, and its worker process."""
    run = mesh.popen("run", directory, "-p", "test.yml", "-i", "s", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    events = directory / "artifacts" / "s" / "job_events"
    wait_for(lambda: any(_starts_sleep(p.read_text()) for p in events.glob("*.json")), "the task runs", 30)
    (unit,) = mesh.executor.units()
    stdin = str(mesh.executor.data / unit / "stdin")
    workers = [p for p in psutil.process_iter() if _stdin(p) == stdin and "receptor_runner" in " ".join(words_of(p))]
    worker = next(p for p in workers if "worker" in words_of(p))
    try:
        yield run, worker
    finally:
        run.kill()
        run.communicate()


def _starts_sleep(event: str) -> bool:
    return "runner_on_start" in event and '"task": "command"' in event


def _stdin(process: psutil.Process) -> str | None:
    try:
        return os.readlink(f"/proc/{process.pid}/fd/0")
    except OSError:
        return None


def test_sigkill_of_the_worker_is_truncated(mesh: Mesh, make_dir: DirFactory) -> None:
    with sleeping_job(mesh, make_dir(SLEEPING)) as (run, worker):
        worker.kill()
        _, errors = run.communicate(timeout=90)
        assert run.returncode == 76, errors
        assert b"killed" in errors


def test_sigkill_of_the_runner_is_lost(mesh: Mesh, make_dir: DirFactory) -> None:
    with sleeping_job(mesh, make_dir(SLEEPING)) as (run, worker):
        runner = worker.parent()
        assert runner is not None
        runner.kill()
        _, errors = run.communicate(timeout=90)
        assert run.returncode == 74, errors
        wait_for(lambda: not worker.is_running(), "the worker has ended its job", 10)


def test_a_machine_that_lost_everything_is_lost(mesh: Mesh, make_dir: DirFactory) -> None:
    """Worker and runner die together, as in a reboot: the daemon says ``Running`` for ever."""
    with sleeping_job(mesh, make_dir(SLEEPING)) as (run, worker):
        runner = worker.parent()
        assert runner is not None
        for process in (runner, worker):
            process.suspend()
        for process in (runner, worker):
            process.kill()
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 74, errors


def test_a_cancel_that_reaches_nothing_does_not_say_that_it_worked(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(SLEEPING)
    submit(mesh, directory)
    wait_for(lambda: json.loads(ours("status", "j", "-o", "json").stdout)["state"] == "running", "it runs")
    mesh.executor.kill()
    assert ours("cancel", "j", timeout=90).returncode in (69, 70)
    mesh.executor.start()
    mesh.wait_ready()
    assert ours("cancel", "j", timeout=90).returncode == 0
    assert ours("attach", "j", "-q", timeout=90).returncode == 130


def test_a_full_disk_here_loses_nothing(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(TALKATIVE)
    submit(mesh, directory)
    words = " ".join([*OURS, "attach", "j", "-q"])
    full = subprocess.run(["bash", "-c", f"ulimit -f 100; exec {words}"], capture_output=True, timeout=60, check=False)
    assert full.returncode == 73, full.stderr
    assert b"cannot write" in full.stderr
    assert ours("attach", "j", "-q").returncode == 0
    counters = [event["counter"] for event in events_of(directory / "artifacts" / "j")]
    assert counters == list(range(1, len(counters) + 1))


def test_a_full_disk_there_is_never_a_success(mesh: Mesh, make_dir: DirFactory) -> None:
    config = json.loads(mesh.executor.config.read_text())
    for item in config:
        if item.get("work-command", {}).get("worktype") == "receptor-runner":
            command = item["work-command"]
            words = f"ulimit -f 500; exec {command['command']} {command['params']}"
            command.update(command="bash", params=f'-c "{words}"')
    mesh.executor.stop()
    mesh.executor.config.write_text(json.dumps(config))
    mesh.executor.start()
    mesh.wait_ready()
    done = mesh.run("run", make_dir(TALKATIVE), "-p", "test.yml", "-q")
    assert done.returncode in (73, 76), done.stderr


def test_a_private_node_outlives_its_run(make_dir: DirFactory, tmp_path: Path) -> None:
    """Killed with SIGKILL, both of them: the job goes on, and attach brings the node back."""
    directory = make_dir(TALKATIVE)
    run = subprocess.Popen([*OURS, "run", directory, "-p", "test.yml", "-i", "k", "-q"])
    events = directory / "artifacts" / "k" / "job_events"
    wait_for(lambda: len(list(events.glob("*.json"))) > 5, "it runs")
    run.kill()
    run.wait()
    state = os.environ["XDG_STATE_HOME"]
    (node,) = [p for p in processes_with(state) if {"serve", "--private"} <= set(words_of(p))]
    node.kill()
    node.wait()
    assert ours("attach", "k", "-q").returncode == 0
    counters = [event["counter"] for event in events_of(directory / "artifacts" / "k")]
    assert counters == list(range(1, len(counters) + 1))
    wait_for(lambda: not list((Path(state) / "receptor-runner" / "nodes").iterdir()), "the node is gone")


def test_a_mesh_out_of_reach_is_left_and_found_again(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(TALKATIVE)
    submit(mesh, directory)
    attach = subprocess.Popen([*OURS, "attach", "j", "-q", "--lost-after", "2"], stderr=subprocess.PIPE)
    wait_for((directory / "artifacts" / "j" / "job_events").exists, "it follows")
    mesh.controller.kill()
    _, errors = attach.communicate(timeout=90)
    assert attach.returncode == 75, errors
    assert json.loads(ours("status", "j", "-o", "json").stdout)["state"] == "unreachable"
    mesh.controller.start()
    assert ours("attach", "j", "-q", timeout=90).returncode == 0
    counters = [event["counter"] for event in events_of(directory / "artifacts" / "j")]
    assert counters == list(range(1, len(counters) + 1))


def test_a_follower_that_dies_at_the_very_end(new_mesh: Callable[[str], Mesh], make_dir: DirFactory) -> None:
    """Its successor finds the end mark again, and the verdict with it."""
    mesh, directory = new_mesh("embedded-1.4"), make_dir(tasks("debug: {msg: hello}"))
    submit(mesh, directory)
    script = "import os, receptor_runner\nreceptor_runner.Mesh.job('j').follow(finished_callback=lambda r: os._exit(9))"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 9
    done = ours("attach", "j")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert json.loads(ours("status", "j", "-o", "json").stdout)["state"] == "successful"


@pytest.mark.daemon
@pytest.mark.parametrize("kind", ["daemon", "daemon-line", "daemon-signed"])
def test_a_job_waits_for_a_node_that_comes_up_later(
    kind: str, new_mesh: Callable[[str], Mesh], make_dir: DirFactory
) -> None:
    mesh, directory = new_mesh(kind), make_dir(tasks("debug: {msg: hello}"))
    mesh.executor.stop()
    wait_for(lambda: b'"reachable": false' in _offer(mesh), "it is known to be down", 40)
    words = ["-p", "test.yml", "-i", "later"]
    assert mesh.run("submit", directory, *words).returncode == 69, "not without --ttl"
    worktype = [] if kind != "daemon-signed" else ["--signwork"]
    done = mesh.run("submit", directory, *words, "--ttl", "5m", *worktype)
    assert done.returncode == 0, done.stderr
    assert json.loads(ours("status", "later", "-o", "json").stdout)["state"] == "pending"
    mesh.executor.start()
    attached = ours("attach", "later", timeout=150)
    assert (attached.returncode, b"hello" in attached.stdout) == (0, True), attached.stderr


def _offer(mesh: Mesh) -> bytes:
    return ours("nodes", mesh.executor.name, *mesh.arguments(), "-o", "json").stdout


def test_an_embedded_node_that_is_down_at_submit_is_69(new_mesh: Callable[[str], Mesh], make_dir: DirFactory) -> None:
    mesh, directory = new_mesh("embedded-1.4"), make_dir(tasks("debug: {msg: hello}"))
    mesh.executor.stop()
    assert mesh.run("run", directory, "-p", "test.yml", "-i", "later").returncode == 69
    mesh.executor.start()
    assert mesh.run("run", directory, "-p", "test.yml", "-i", "later").returncode == 0
