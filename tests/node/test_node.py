"""The embedded node by itself: what it takes, what it refuses, what it does better than the daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from receptor_runner.receptor.control_protocol import command_line, created_unit, parse_reply
from tests.support.commands import OURS, ours
from tests.support.nodes import Node, node_directory
from tests.support.processes import exit_code, wait_for
from tests.support.solo import Client, solo, state, submit

pytestmark = pytest.mark.slow


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with solo(*getattr(request, "param", [])) as started:
        yield started


def results(node: Node, unit: str, start: int = 0) -> bytes:
    with Client(node) as client:
        client.say(f"work results {unit} {start}\n".encode())
        client.half_close()
        return client.rest()


def test_results_of_a_cancelled_unit_end_and_its_tree_is_gone(node: Node) -> None:
    unit = submit(node, "trap : INT; echo begun; setsid sleep 987 & sleep 987; sleep 987")
    wait_for(
        lambda: (node.data / unit / "stdout").exists() and b"begun" in (node.data / unit / "stdout").read_bytes(),
        "it runs",
    )
    with Client(node) as client:
        client.say(f"work results {unit}\n".encode())
        with Client(node) as other:
            assert other.say(f"work cancel {unit}\n".encode()) == f'{{"cancelled":"{unit}"}}\n'.encode()
        assert client.rest() == b"begun\n"
    assert state(node, unit) == 4
    assert not [p for p in psutil.process_iter(["cmdline"]) if "987" in (p.info["cmdline"] or [])]


def test_a_dead_runner_is_noticed(node: Node) -> None:
    unit = submit(node, "exec sleep 986")
    wait_for(lambda: state(node, unit) == 1, "it runs")
    (sleeper,) = wait_for(
        lambda: [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-1:] == ["986"]], "it sleeps"
    )
    runner = sleeper.parent()
    assert runner is not None
    runner.kill()
    assert state(node, unit) == 1, "the command is there, and works"
    sleeper.kill()
    wait_for(lambda: state(node, unit) == 3, "it has failed", 5)


def test_killing_the_node_ends_no_job_and_its_restart_finds_it(node: Node) -> None:
    unit = submit(node, "echo one; sleep 2; echo two")
    wait_for(lambda: state(node, unit) == 1, "it runs")
    node.kill()
    node.start()
    assert results(node, unit) == b"one\ntwo\n"
    assert results(node, unit, 4) == b"two\n"
    assert state(node, unit) == 2


def test_a_unit_that_waits_for_input_when_the_node_dies_has_failed(node: Node) -> None:
    with Client(node) as client:
        unit = created_unit(client.say(command_line(command="work", subcommand="submit", node="solo", worktype="cat")))
        node.kill()
        node.start()
    with Client(node) as client:
        status = parse_reply(client.say(f"work status {unit}\n".encode()))
    assert (status["State"], status["Detail"]) == (3, "Pending at restart")


def test_a_unit_that_is_cancelled_before_its_input_came_does_not_start(node: Node) -> None:
    with Client(node) as client, Client(node) as other:
        line = command_line(command="work", subcommand="submit", node="solo", worktype="cat")
        unit = created_unit(client.say(line))
        other.say(f"work cancel {unit}\n".encode())
        client.half_close()
        assert client.rest().startswith(b"ERROR: ")
    assert state(node, unit) == 4
    assert not (node.data / unit / "stdout").exists()


@pytest.mark.parametrize("node", [["--protocol", "1.5"]], indirect=True)
def test_the_embedded_node_behaves_like_newer_daemons(node: Node) -> None:
    unit = submit(node, "echo hi")
    assert unit.startswith("solo")
    with Client(node) as client:
        client.say(f"work results {unit}\n".encode())
        assert client._file.readline() == b"hi\n"
        assert parse_reply(client.say(b"status\n"))["NodeID"] == "solo", "the connection is still one for commands"
    with Client(node) as client:
        line = command_line(command="work", subcommand="submit", node="solo", worktype="cat", workUnitID="chosen-1.x")
        assert created_unit(client.say(line)) == "chosen-1.x"
    with Client(node) as client:
        assert b"already exists" in client.say(line)


def test_units_on_disk_have_the_daemons_layout(node: Node) -> None:
    unit = submit(node, "echo hi")
    wait_for(lambda: state(node, unit) == 2, "it has ended")
    directory = node.data / unit
    assert sorted(path.name for path in directory.iterdir()) == ["status", "status.lock", "stdin", "stdout"]
    assert {oct(path.stat().st_mode & 0o777) for path in directory.iterdir()} == {"0o600"}
    assert oct(directory.stat().st_mode & 0o777) == "0o700"
    expected = b'{"State":2,"Detail":"exit status 0","StdoutSize":3,"WorkType":"sh","ExtraData":null}\n'
    assert (directory / "status").read_bytes() == expected


def test_a_client_that_goes_away_or_talks_nonsense_harms_nobody(node: Node) -> None:
    for text in (
        b"",
        b"\n\n",
        b"{",
        b'{"command":"status","requested_fields":"x"}\n',
        b"work results x 0\n",
        b"\xff\n",
    ):
        with Client(node) as client:
            client._socket.sendall(text)
    unit = submit(node, "sleep 3")
    for _ in range(50):
        with Client(node) as client:
            client.say(f"work results {unit}\n".encode())
    assert node.process is not None
    watched = psutil.Process(node.process.pid)
    wait_for(lambda: watched.num_fds() < 20, "the readers that went away are forgotten", 5)
    assert state(node, unit) in (0, 1)


def test_a_node_answers_its_readers_without_a_busy_loop(node: Node) -> None:
    unit = submit(node, "sleep 4")
    assert node.process is not None
    watched = psutil.Process(node.process.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(Client(node)).say(f"work results {unit}\n".encode())
        time.sleep(1)
        before = sum(watched.cpu_times()[:2])
        time.sleep(1)
        assert sum(watched.cpu_times()[:2]) - before < 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- tcp-listener: {port: 1}\n", "tcp-listener"),
        ("- tcp-peer: {address: 'x:1'}\n", "tcp-peer"),
        ("- tls-server: {name: x, cert: c, key: k}\n", "tls-server"),
        ("- work-kubernetes: {worktype: k}\n", "work-kubernetes"),
        ("- work-verification: {publickey: k}\n", "work-verification"),
        ("- control-service: {filename: y, tcplisten: '1'}\n", "there is one already"),
        ("- work-command: {worktype: w, command: cat, verifysignature: true}\n", "verifysignature"),
        ("- work-command: {worktype: remote, command: cat}\n", "reserved"),
        ("- node: {id: localhost}\n", "reserved"),
        ("- nonsense\n", "no item 'nonsense'"),
    ],
)
def test_what_needs_the_real_daemon_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    config = tmp_path / "n.yml"
    config.write_text(f"- control-service: {{filename: {tmp_path}/s}}\n{text}")
    done = ours("serve", "-c", config)
    assert done.returncode == 78
    assert says in done.stderr.decode()
    assert "n.yml, line 2" in done.stderr.decode()


def test_a_socket_has_one_node(node: Node) -> None:
    done = ours("serve", "-c", node.config)
    assert done.returncode == 78
    assert b"another node" in done.stderr


def test_a_second_node_touches_nothing_of_the_first(node: Node) -> None:
    with Client(node) as client:
        unit = created_unit(client.say(command_line(command="work", subcommand="submit", node="solo", worktype="cat")))
        assert ours("serve", "-c", node.config).returncode == 78
        client._socket.sendall(b"hello")
        client.half_close()
        assert parse_reply(client.rest())["result"] == "Job Started"
    assert results(node, unit) == b"hello"


def test_serve_ends_on_a_signal_whoever_is_connected(node: Node) -> None:
    unit = submit(node, "sleep 30")
    with Client(node) as idle, Client(node) as reader:
        reader.say(f"work results {unit}\n".encode())
        node.signal(signal.SIGTERM)
        assert node.process is not None
        assert exit_code(node.process, 5) == 0
        assert idle.rest() == b""
    assert b"Traceback" not in (node.directory / "solo.log").read_bytes()
    node.start()
    with Client(node) as client:
        client.say(f"work release {unit}\n".encode())


def test_serve_ends_on_a_signal_and_leaves_no_socket(node: Node) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        node.signal(number)
        assert node.process is not None
        assert exit_code(node.process, 5) == 0
        assert not node.socket.exists()
        node.start()


def test_serve_needs_no_configuration(tmp_path: Path) -> None:
    with node_directory() as directory:
        path = directory / "s"
        process = subprocess.Popen([*OURS, "serve", "--socket", str(path)], stderr=subprocess.DEVNULL)
        wait_for(path.exists, "it serves")
        done = ours("nodes", "--socket", path)
        process.terminate()
        process.wait()
    assert b"receptor-runner" in done.stdout
    assert socket.gethostname() in done.stdout.decode()
    assert os.listdir(Path(os.environ["XDG_STATE_HOME"]) / "receptor-runner" / "node")


def test_serve_takes_no_other_files_name(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("x")
    assert ours("serve", "--socket", precious).returncode == 78
    assert precious.read_text() == "x"
    assert ours("serve", "--socket", tmp_path).returncode == 78
