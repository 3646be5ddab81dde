"""A fault, a limit or a shortage of one's own end is not the end of the job, and damage stays where it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import receptor_runner
from receptor_runner import Mesh as Client
from receptor_runner.errors import ReceptorRunnerError, RefusedError
from receptor_runner.mesh.endpoint import connect
from receptor_runner.mesh.private_node import PrivateNode
from receptor_runner.mesh.waiting import run
from receptor_runner.records.state_dir import jobs_directory
from receptor_runner.stream.codec import END_OF_STREAM
from receptor_runner.system.process_tree import kill_tree
from tests.support.archives import FILE
from tests.support.commands import OURS, ours
from tests.support.nodes import BOTH, Mesh, running
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import processes_with, wait_for, words_of
from tests.support.streams import RUNNING, STARTING, archive, event, events_of, final
from tests.support.units import ended_unit

pytestmark = pytest.mark.slow

HELLO = tasks("debug: {msg: hello}")


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


def submitted(mesh: Mesh, directory: Path, name: str) -> Path:
    assert mesh.run("submit", directory, "-p", "test.yml", "-i", name).returncode == 0
    assert ours("wait", name, "--timeout", "60").returncode == 0
    return jobs_directory() / name


@pytest.mark.parametrize("limit", [["--max-members", "2"], ["--max-line", "100"], ["--max-unpacked", "5"]])
def test_a_limit_of_the_follower_keeps_the_unit(limit: list[str], mesh: Mesh, make_dir: DirFactory) -> None:
    submitted(mesh, make_dir(HELLO), "limited")
    done = ours("attach", "limited", "-q", *limit)
    assert done.returncode == 73
    assert b"limit" in done.stderr
    assert b"larger limit" in done.stderr
    assert mesh.units()
    assert ours("attach", "limited", "-q").returncode == 0
    ours("release", "limited")


def test_a_follower_without_descriptors_keeps_the_unit(mesh: Mesh, make_dir: DirFactory) -> None:
    submitted(mesh, make_dir(HELLO), "short")
    for descriptors in range(8, 20):
        words = ["bash", "-c", f'ulimit -n {descriptors}; exec "$@"', "bash", *OURS, "attach", "short", "-q"]
        done = subprocess.run([*words, "--lost-after", "1"], capture_output=True, check=False, timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode in (1, 69, 70, 73, 75), done.stderr
        assert mesh.units(), done.stderr
    assert ours("attach", "short", "-q").returncode == 0
    ours("release", "short")


@pytest.mark.parametrize("member", [("n" * 300, FILE, b"x"), ("../x", FILE, b"x")])
def test_what_is_wrong_with_the_archive_is_told_once(
    member: tuple[str, int, bytes], mesh: Mesh, tmp_path: Path
) -> None:
    stream = STARTING + RUNNING + final("successful", events=0) + archive(member) + END_OF_STREAM
    unit = ended_unit(mesh, stream)
    job = Client(str(mesh.executor.socket)).adopt(mesh.executor.name, unit, private_data_dir=tmp_path)
    assert ours("attach", unit, "-q").returncode == 76
    assert json.loads(ours("status", unit, "-o", "json").stdout)["delivered"]
    job.release()


@pytest.mark.parametrize("levels", [150, 400, 980, 20_000])
def test_a_line_of_any_depth_harms_nobody(levels: int, mesh: Mesh, tmp_path: Path) -> None:
    deep = b'{"status": "running", "x": ' + b"[" * levels + b"]" * levels + b"}\n"
    odd = event(1, "u1").replace(b'"verbose"', b'"verbose", "x": ' + b"[" * levels + b"]" * levels)
    unit = ended_unit(mesh, STARTING + deep + odd + final("successful") + END_OF_STREAM)
    job = Client(str(mesh.executor.socket)).adopt(mesh.executor.name, unit, private_data_dir=tmp_path)
    for words in (["jobs"], ["status", unit], ["wait", unit], ["attach", unit, "-q"], ["cancel", unit], ["jobs"]):
        done = ours(*words)
        assert done.returncode == 0, (words, done.stderr)
        assert b"Recursion" not in done.stderr
    job.release()


@pytest.mark.parametrize("damage", ["empty", "cut", "old", "zeros"])
def test_a_journal_that_a_lost_machine_left_makes_no_success_a_failure(
    damage: str, mesh: Mesh, make_dir: DirFactory
) -> None:
    """Whatever of it reached the disk, and in whatever order."""
    directory = make_dir(HELLO)
    record = submitted(mesh, directory, "lost-power")
    script = (
        "import os, receptor_runner\n"
        "receptor_runner.Mesh.job('lost-power').follow(artifacts_handler=lambda _: os._exit(9))"
    )
    assert subprocess.run([*OURS[:1], "-c", script], check=False, timeout=60).returncode == 9
    path = record / "journal"
    whole = path.read_bytes()
    assert whole
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[:-20])
        case "old":
            path.write_bytes(whole[:128] + whole[128:].replace(b"successful", b"unfinished"))
        case "zeros":
            path.write_bytes(whole[:128] + bytes(len(whole) - 128))
    assert ours("attach", "lost-power", "-q").returncode == 0
    counters = [one["counter"] for one in events_of(directory / "artifacts" / "lost-power")]
    assert counters == list(range(1, len(counters) + 1))
    ours("release", "lost-power")


def test_prune_deletes_nothing_that_is_being_submitted(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    """Its record has no unit yet: it looks like that of a job that was never accepted."""
    directory = make_dir(HELLO)
    (directory / "big").write_bytes(os.urandom(20_000_000))
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            ours("prune", "--yes")

    pruner = threading.Thread(target=prune)
    pruner.start()
    try:
        for number in range(3):
            assert mesh.run("submit", directory, "-p", "test.yml", "-i", f"kept{number}").returncode == 0
    finally:
        stop.set()
        pruner.join()
    for number in range(3):
        assert ours("attach", f"kept{number}", "-q").returncode == 0
        ours("release", f"kept{number}")


def test_a_submit_whose_payload_was_cut_is_done_again(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(HELLO)
    (directory / "big").write_bytes(os.urandom(150_000_000))
    first = mesh.popen("submit", directory, "-p", "test.yml", "-i", "cut", stderr=subprocess.DEVNULL)
    record = jobs_directory() / "cut" / "job.json"
    wait_for(lambda: record.exists() and json.loads(record.read_text())["units"], "the unit is known")
    first.send_signal(signal.SIGKILL)
    first.wait()
    (directory / "big").unlink()
    assert not json.loads(record.read_text())["accepted"]
    assert mesh.run("submit", directory, "-p", "test.yml", "-i", "cut").returncode == 0
    assert b"hello" in ours("attach", "cut").stdout
    ours("release", "cut")
    wait_for(lambda: not mesh.units(), "no unit is left")


def test_many_equal_submits_at_once_are_one_job(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks(f"wait_for: {{path: '{tmp_path}/go', timeout: 60, sleep: 1}}"))
    words = ["-p", "test.yml", "-i", "one"]
    many = [mesh.popen("submit", directory, *words, stdout=subprocess.DEVNULL) for _ in range(12)]
    assert [one.wait(120) for one in many] == [0] * 12
    assert len(mesh.controller.units()) == 1
    (tmp_path / "go").write_text("")
    assert ours("attach", "one", "-q").returncode == 0
    ours("release", "one")


def test_what_wait_has_seen_stays_known(mesh: Mesh, make_dir: DirFactory) -> None:
    assert mesh.run("submit", make_dir(tasks("fail: {msg: no}")), "-p", "test.yml", "-i", "seen").returncode == 0
    assert ours("wait", "seen", "--timeout", "60").returncode == 2
    for node in mesh.nodes:
        for unit in node.units():
            subprocess.run(
                [
                    *OURS[:1],
                    "-c",
                    "import sys; from receptorctl.socket_interface import ReceptorControl as R; "
                    f"R({str(node.socket)!r}).simple_command('work force-release {unit}')",
                ],
                check=False,
            )
    wait_for(lambda: not mesh.units(), "the units are gone")
    assert ours("wait", "seen").returncode == 2
    assert ours("status", "seen").returncode == 0
    ours("release", "--force", "seen")


@pytest.mark.parametrize("where", ["in place", "on a copy"])
def test_a_lost_run_leaves_no_node_and_no_payload(where: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("command: sleep 60"))
    state = os.environ["XDG_STATE_HOME"]
    words = [*OURS, "run", str(directory), "-p", "test.yml", "-i", "k", "-q", *(["--copy"] if "copy" in where else [])]
    job = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    events = directory / "artifacts" / "k" / "job_events"
    wait_for(lambda: len(list(events.glob("*.json"))) > 2, "it runs")
    if where == "in place":
        (runner,) = [child for child in psutil.Process(job.pid).children() if child.name() == "receptor-unit"]
    else:
        (runner,) = [
            one for one in processes_with(state) if any("receptor_runner.node.runner" in word for word in words_of(one))
        ]
    kill_tree(runner)
    assert job.wait(90) in (74, 76)
    wait_for(lambda: not list((Path(state) / "receptor-runner" / "nodes").iterdir()), "the node is gone")


def test_threads_share_a_private_mesh(make_dir: DirFactory) -> None:
    """And a job that cannot be submitted stops nobody's node."""
    directories = [make_dir(HELLO, name=f"demo{number}") for number in range(5)]
    mesh = Client.private()
    failures: list[BaseException] = []

    def submit(number: int) -> None:
        try:
            job = receptor_runner.Job(directories[number], playbook="test.yml", ident=f"t{number}")
            assert mesh.submit(job).follow().exit_code == 0
        except BaseException as exc:
            failures.append(exc)

    def misspelt() -> None:
        job = receptor_runner.Job(directories[0], playbook="test.yml", ident="bad")
        with pytest.raises(ReceptorRunnerError):
            mesh.submit(job, worktype="no-such-worktype")

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(5)]
    threads += [threading.Thread(target=misspelt) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    node = mesh._private
    assert node is not None
    assert node._process is not None
    wait_for(lambda: node._process is not None and node._process.poll() is not None, "the node has ended")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can serve as another user")
def test_a_private_nodes_socket_that_another_user_serves_is_refused(tmp_path: Path) -> None:
    path = Path("/tmp") / f"rr-{os.getpid()}.sock"
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
        "os.write(1, b'x'); c, _ = s.accept(); c.sendall(b'Receptor Control, node x\\n'); c.recv(9)"
    )
    server = subprocess.Popen([*OURS[:1], "-c", script, str(path)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.read(1)
    try:
        with pytest.raises(RefusedError, match="served by the user 65534"):
            run(connect(PrivateNode(str(tmp_path), str(path)).address))
    finally:
        server.kill()
        server.communicate()
        path.unlink()
