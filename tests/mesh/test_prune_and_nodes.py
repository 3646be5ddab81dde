"""What is left, and what is shown on a terminal: ``prune``, ``nodes``, the progress line, machine-readable output."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from receptor_runner.receptor.address import Address
from receptor_runner.records.record import Record, Route
from receptor_runner.records.state_dir import jobs_directory
from receptor_runner.records.store import Records
from tests.support.commands import OURS, ours
from tests.support.nodes import BOTH, Mesh, running
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=BOTH)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with running(request.param) as started:
        yield started


def prune(mesh: Mesh, *options: str) -> list[tuple[str, str, bool]]:
    done = ours("prune", *mesh.arguments(), "-o", "json", *options)
    assert done.returncode == 0, done.stderr
    return [(found["kind"], found["name"], found["deleted"]) for found in json.loads(done.stdout)]


def test_prune_finds_records_of_finished_jobs(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "done")
    mesh.run("submit", directory, "-p", "test.yml", "-i", "undelivered")
    assert ours("attach", "done", "-q").returncode == 0
    assert ours("wait", "undelivered", "--timeout", "60").returncode == 0
    assert prune(mesh) == [("record", "done", False)], "what nobody has followed to its end is kept"
    assert prune(mesh, "--yes") == [("record", "done", True)]
    assert prune(mesh) == []
    assert ours("attach", "undelivered", "-q").returncode == 0
    assert (directory / "artifacts" / "done" / "rc").exists()
    ours("release", "undelivered")


def test_prune_finds_units_whose_record_is_gone(mesh: Mesh, make_dir: DirFactory) -> None:
    mesh.run("submit", make_dir(tasks("debug: {msg: hello}")), "-p", "test.yml", "-i", "orphan")
    assert ours("wait", "orphan", "--timeout", "60").returncode == 0
    record = Path(os.environ["XDG_STATE_HOME"]) / "receptor-runner" / "jobs" / "orphan" / "job.json"
    record.unlink()
    ((kind, unit, _),) = prune(mesh)
    assert (kind, [unit]) == ("unit", mesh.controller.units())
    prune(mesh, "--yes")
    wait_for(lambda: not mesh.units(), "no unit is left")


def test_nodes_says_what_is_offered(mesh: Mesh) -> None:
    offers = {offer["node"]: offer for offer in json.loads(ours("nodes", *mesh.arguments(), "-o", "json").stdout)}
    assert "receptor-runner" in offers[mesh.executor.name]["worktypes"]
    assert offers[mesh.controller.name]["here"] is True
    assert mesh.executor.name.encode() in ours("nodes", *mesh.arguments()).stdout
    assert ours("nodes", "nowhere", *mesh.arguments()).returncode == 69


def test_nodes_tell_about_themselves(mesh: Mesh) -> None:
    offers = json.loads(ours("nodes", "--info", *mesh.arguments(), "-o", "json").stdout)
    info = {offer["node"]: offer["info"] for offer in offers}
    assert info[mesh.executor.name]["cpu_count"] > 0
    assert info[mesh.executor.name]["ansible_core_version"] == version("ansible-core")
    if mesh.controller is not mesh.executor:
        assert "offers none" in info[mesh.controller.name]["errors"][0], "told, and no failure of the command"
    table = ours("nodes", "--info", *mesh.arguments())
    assert b"GiB" in table.stdout
    assert table.returncode == 0
    wait_for(lambda: not mesh.units(), "no unit is left")


def test_run_shows_on_a_terminal_what_goes_on(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("command: sleep 2", "debug: {msg: hello}"))
    ours_end, theirs = pty.openpty()
    words = [*OURS, "run", str(directory), "-p", "test.yml", *mesh.arguments(), "--node", mesh.executor.name]
    run = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while run.poll() is None or select.select([ours_end], [], [], 0)[0]:
        if select.select([ours_end], [], [], 0.2)[0]:
            try:
                text += os.read(ours_end, 65536)
            except OSError:
                break
    os.close(ours_end)
    assert exit_code(run, 90) == 0
    assert f"{mesh.executor.name}: running".encode() in text
    assert b"1 task, 1 host" in text
    assert b"successful after" in text
    assert text.rstrip().endswith((b"\x1b[K", b"\x1b[0m")) or b"PLAY RECAP" in text
    assert b"\x1b[K" not in mesh.run("run", directory, "-p", "test.yml").stderr


def test_a_payload_that_is_interrupted_leaves_nothing(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: no}"))
    with open(directory / "project" / "big", "wb") as file:
        for _ in range(100):
            file.write(os.urandom(2**20))
    run = mesh.popen("run", directory, "-p", "test.yml", "-i", "cut", stderr=subprocess.DEVNULL)
    wait_for(mesh.controller.units, "the unit is there")
    run.send_signal(signal.SIGINT)
    assert exit_code(run, 90) == 130
    wait_for(lambda: not mesh.units(), "no unit is left", 20)
    assert json.loads(ours("jobs", "-o", "json").stdout) == []
    assert not (directory / "artifacts").exists()


@pytest.mark.parametrize("command", ["submit", "run"])
def test_an_interrupt_while_the_node_accepts_a_job_leaves_all_or_nothing(
    command: str, mesh: Mesh, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Whenever the signal comes: either the job was submitted, or nothing of it is left and it does not run."""
    directory = make_dir(tasks("command: sleep 1", "command: touch {{ mark }}"))
    moments = random.Random(command)
    for number in range(4):
        mark, name = tmp_path / f"mark{number}", f"moment{number}"
        words = ["-p", "test.yml", "-i", name, "-e", f"mark={mark}"]
        before = set(mesh.controller.units())
        process = mesh.popen(command, directory, *words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda known=before: set(mesh.controller.units()) - known, "the unit is there")  # type: ignore[misc]
        time.sleep(moments.uniform(0, 0.012))
        process.send_signal(signal.SIGINT)
        if exit_code(process, 90) == 0:
            assert command == "submit"
            assert ours("attach", name, "-q").returncode == 0
            continue
        assert process.returncode == 130
        wait_for(lambda: not mesh.units(), "no unit is left", 20)
        assert ours("status", name).returncode == 66
        time.sleep(2)
        assert not mark.exists()


def test_a_signal_after_the_job_was_accepted_changes_nothing(mesh: Mesh, make_dir: DirFactory) -> None:
    """Standard output is full, so the command waits with the id of an accepted job in its hand."""
    directory = make_dir(tasks("debug: {msg: hello}"))
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, bytes(4096))
    os.set_blocking(write_end, True)
    process = mesh.popen("submit", directory, "-p", "test.yml", "-i", "accepted", stdout=write_end)
    os.close(write_end)
    record = jobs_directory() / "accepted" / "job.json"
    wait_for(record.exists, "the record is there")
    wait_for(lambda: waits_in_write(process.pid), "standard output is full")
    process.send_signal(signal.SIGINT)
    with os.fdopen(read_end, "rb") as output:
        assert output.read().lstrip(b"\0") == b"accepted\n"
    assert exit_code(process, 90) == 0
    assert ours("attach", "accepted", "-q").returncode == 0


def waits_in_write(pid: int) -> bool:
    """Linux names the system call that a process waits in: 1 is write on x86-64, 64 on 64-bit ARM."""
    text = Path(f"/proc/{pid}/syscall").read_text().split()
    return text[:2] in (["1", "0x1"], ["64", "0x1"])


def test_damaged_records_harm_only_themselves(mesh: Mesh, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    mesh.run("submit", directory, "-p", "test.yml", "-i", "good")
    jobs = jobs_directory()
    for number, text in enumerate(["", "[]", "null", '{"id": "x"}', (jobs / "good" / "job.json").read_text()[:60]]):
        (jobs / f"bad{number}").mkdir()
        (jobs / f"bad{number}" / "job.json").write_text(text)
    listed = ours("jobs", "-o", "json")
    assert [view["id"] for view in json.loads(listed.stdout)] == ["good"]
    assert listed.stderr.count(b"damaged") == 5
    assert ours("status", "bad1").returncode == 66
    assert mesh.run("submit", directory, "-p", "test.yml", "-i", "bad1").returncode == 66, "not a second one"
    assert ours("release", "--force", *(f"bad{number}" for number in range(5))).returncode == 0
    assert ours("attach", "good", "-q").returncode == 0
    assert ours("jobs").stderr == b""


@pytest.mark.parametrize("ttl", ["abc", "1", "0s", "", "1x", "nan", "99999999999h"])
def test_a_ttl_that_is_no_time_is_a_usage_error(ttl: str, mesh: Mesh, make_dir: DirFactory) -> None:
    words = ["-p", "test.yml", *mesh.arguments(), "--node", "absent", "--ttl", ttl]
    assert ours("submit", make_dir(tasks("debug: {msg: no}")), *words).returncode == 64
    assert not mesh.units()


def test_a_mesh_that_does_not_answer_is_69(tmp_path: Path, make_dir: DirFactory) -> None:
    """A socket that is missing, one that is refused and one that does not answer are told apart."""
    directory = make_dir(tasks("debug: {msg: no}"))

    def submit(path: Path) -> tuple[int, bytes]:
        done = ours("submit", directory, "-p", "test.yml", "--socket", path)
        return done.returncode, done.stderr

    short = Path("/tmp") / f"rrm-{os.getpid()}.sock"
    code, text = submit(short)
    assert (code, b"does not exist" in text) == (69, True), text
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short))
        code, text = submit(short)
        assert (code, b"refused" in text) == (69, True), text
        listener.listen()
        code, text = submit(short)
        assert (code, b"does not answer" in text) == (69, True), text
    short.unlink()
    assert ours("submit", directory, "-p", "test.yml").returncode == 69, "nothing is named"
    assert json.loads(ours("jobs", "-o", "json").stdout) == []


def test_a_submitter_that_died_before_its_job_was_accepted(mesh: Mesh, make_dir: DirFactory) -> None:
    """Its record is no job: the next submit of that name submits."""
    directory = make_dir(tasks("debug: {msg: hello}"))
    records = Records(jobs_directory())
    address = Address(str(mesh.controller.socket))
    records.save(Record("early", str(directory), "", address, Route("x", "receptor-runner")))
    assert prune(mesh) == [("record", "early", False)]
    assert mesh.run("submit", directory, "-p", "test.yml", "-i", "early").returncode == 0
    assert b"hello" in ours("attach", "early").stdout
    ours("release", "early")


def test_a_record_does_not_depend_on_the_working_directory(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    socket_name, where = mesh.controller.socket.name, mesh.controller.socket.parent
    words: list[str | Path] = [
        "submit",
        directory,
        "-p",
        "test.yml",
        "-i",
        "rel",
        "--socket",
        socket_name,
        "--node",
        mesh.executor.name,
    ]
    assert ours(*words, cwd=where).returncode == 0
    assert ours("attach", "rel", "-q", cwd=tmp_path).returncode == 0


def test_a_private_data_dir_whose_name_is_not_utf_8_travels(mesh: Mesh, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    odd = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.rename(directory, odd)
    words = ["-p", "test.yml", "-i", "odd", *mesh.arguments(), "--node", mesh.executor.name]
    assert ours("submit", odd, *words).returncode == 0
    assert ours("attach", "odd", "-q").returncode == 0
    assert os.path.exists(odd + b"/artifacts/odd/rc")
    assert ours("release", "odd").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heeded_while_a_daemon_is_mute(number: signal.Signals, make_dir: DirFactory) -> None:
    path = Path("/tmp") / f"rrm-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        words = [*OURS, "submit", str(make_dir(tasks("debug: {msg: no}"))), "-p", "test.yml", "--socket", str(path)]
        submit = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        client, _ = listener.accept()
        with client:
            submit.send_signal(number)
            assert exit_code(submit, 3) == 130
    path.unlink()
