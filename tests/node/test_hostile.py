"""The embedded node under shortage, damage and nonsense: what is wrong with one unit or client harms nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from receptor_runner.receptor.control_protocol import command_line, parse_reply
from tests.support.commands import ours
from tests.support.nodes import Node
from tests.support.processes import Stopwatch, processes_with, wait_for
from tests.support.solo import CANCELED, FAILED, RUNNING, SUCCEEDED, Client, solo, state, submit

pytestmark = pytest.mark.slow


@pytest.fixture
def node() -> Iterator[Node]:
    with solo() as started:
        yield started


def running(node: Node, script: str = "sleep 300") -> str:
    """The id of a unit that runs."""
    unit = submit(node, script)
    wait_for(lambda: state(node, unit) == RUNNING, "it runs")
    return unit


def runner_of(node: Node, unit: str) -> psutil.Process:
    with Client(node) as client:
        reply = parse_reply(client.say(f"work status {unit}\n".encode()))
    return psutil.Process(reply["ExtraData"]["Pid"])


def test_a_node_without_descriptors_calls_no_job_lost() -> None:
    """Whether a job lives is asked of its lock, and that takes a descriptor."""
    with solo(before=["bash", "-c", 'ulimit -n 22; exec "$@"', "bash"]) as node:
        units = [running(node) for _ in range(8)]
        clients = []
        for _ in range(30):
            try:
                clients.append(Client(node, 2))
            except (AssertionError, OSError):
                break
        try:
            answers = [client.say(b"work list\n") for client in clients]
        finally:
            for client in clients:
                client.close()
        for answer in answers:
            for unit in [] if answer.startswith(b"ERROR") else parse_reply(answer).values():
                assert unit["State"] == RUNNING, unit
        assert {state(node, unit) for unit in units} == {RUNNING}


def test_a_node_may_have_as_many_descriptors_as_the_machine_lets_it(node: Node) -> None:
    assert node.process is not None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)[0] == hard
    unit = running(node)
    assert resource.prlimit(runner_of(node, unit).pid, resource.RLIMIT_NOFILE) == resource.getrlimit(
        resource.RLIMIT_NOFILE
    )


def test_the_end_of_a_unit_is_told_also_if_nothing_can_be_written(node: Node) -> None:
    """As on a full disk: neither the runner nor the node can write the status down."""
    unit = running(node)
    runner = runner_of(node, unit)
    assert node.process is not None
    for pid in (runner.pid, node.process.pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    for process in runner.children():
        process.kill()
    wait_for(lambda: state(node, unit) == FAILED, "its end is told")


def test_two_nodes_do_not_share_a_data_directory(node: Node) -> None:
    unit = running(node)
    items = json.loads(node.config.read_text())
    items[1]["control-service"]["filename"] += "2"
    other = node.directory / "other.yml"
    other.write_text(json.dumps(items))
    done = ours("serve", "--config", other)
    assert done.returncode == 78
    assert b"has the data directory" in done.stderr
    assert state(node, unit) == RUNNING
    node.kill()
    node.start()
    assert state(node, unit) == RUNNING


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"x"', b"[" * 5000 + b"]" * 5000, b"\xff"])
def test_a_damaged_status_harms_its_unit_alone(content: bytes, node: Node) -> None:
    well, ill, ended = running(node), running(node), submit(node, "true")
    wait_for(lambda: state(node, ended) == SUCCEEDED, "it has ended")
    (node.data / ill / "status").write_bytes(content)
    (node.data / ended / "status").write_bytes(content)
    for _ in range(2):
        with Client(node) as client:
            found = parse_reply(client.say(b"work list\n"))
        assert found[well]["State"] == RUNNING
        assert (found[ill]["State"], found[ill]["Detail"]) == (RUNNING, "the status file of the unit is damaged")
        wait_for(lambda: state(node, ended) == FAILED, "nobody works on it")
        node.kill()
        node.start()
    with Client(node) as client:
        assert parse_reply(client.say(f"work cancel {ill}\n".encode())) == {"cancelled": ill}
    assert state(node, ill) == CANCELED
    wait_for(lambda: not processes_with(str(node.data / ill)), "nothing of it is left")
    for unit in (ill, ended):
        with Client(node) as client:
            assert parse_reply(client.say(f"work release {unit}\n".encode())) == {"released": unit}


def submit_line(**fields: str) -> bytes:
    base = {"node": "localhost", "worktype": "sh", "params": "true"}
    return command_line(command="work", subcommand="submit", **{**base, **fields})


@pytest.mark.parametrize(
    "line",
    [
        submit_line(worktype="\ud800"),
        submit_line(node="\udfff"),
        submit_line(params="a\0b"),
        submit_line(params="\ud800"),
        b"work submit localhost sh a\0b\n",
        submit_line(workUnitID=".h.gone"),
        submit_line(workUnitID=".."),
        submit_line(workUnitID="\ud800"),
        b'{"command": "work", "subcommand": "status", "unitid": "\\ud800"}\n',
        b"work status \xff\n",
        b'{"command": "work", "subcommand": "results", "unitid": "x", "startpos": Infinity}\n',
        b'{"command": "work", "subcommand": "results", "unitid": "x", "startpos": NaN}\n',
        b'{"command": "work", "subcommand": "results", "unitid": "x", "startpos": 1e300}\n',
        b"work results x 99999999999999999999\n",
        b'{"command": ' + b"[" * 5000 + b"]" * 5000 + b"}\n",
        b'{"command": "ping", "target": "\\ud800"}\n',
        b'{"command": "connect", "node": "\\ud800", "service": "\\ud800"}\n',
        b"{" * 200_000 + b"\n",
        submit_line(node="other", ttl="1" * 50_000),
        submit_line(params="x" * 150_000),
    ],
    ids=range(20),
)
def test_nonsense_gets_an_error_and_nobody_else_notices(line: bytes, node: Node) -> None:
    unit = running(node)
    with Client(node) as other, Client(node) as client:
        assert client.say(line).startswith((b"ERROR: ", b'{"Error":'))
        assert parse_reply(other.say(b"work list\n"))[unit]["State"] == RUNNING
    assert os.listdir(node.data) == [unit]


def test_unfinished_lines_take_little_memory_and_give_it_back(node: Node) -> None:
    assert node.process is not None
    process = psutil.Process(node.process.pid)
    before = process.memory_info().rss
    clients = [Client(node) for _ in range(100)]
    try:
        for client in clients:
            client.send(b"x" * 100_000)
        with Client(node) as other:
            parse_reply(other.say(b"work list\n"))
        assert process.memory_info().rss - before < 100 * 1024 * 1024
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: process.memory_info().rss - before < 20 * 1024 * 1024, "it is given back", 10)


def test_a_line_that_is_too_long_is_refused(node: Node) -> None:
    with Client(node) as client:
        client.send(b"x" * 300_000 + b"\n")
        assert b"ERROR: the line is too long\n" in client.rest()


def test_a_runner_that_was_stopped_does_not_outlive_a_cancel(node: Node) -> None:
    """Nobody answers for a stopped process: the node ends it and all that it runs."""
    unit = running(node)
    runner = runner_of(node, unit)
    below = runner.children(recursive=True)
    runner.send_signal(signal.SIGSTOP)
    began = Stopwatch()
    with Client(node) as client:
        assert parse_reply(client.say(f"work cancel {unit}\n".encode())) == {"cancelled": unit}
    assert began.seconds() < 40
    assert state(node, unit) in (CANCELED, FAILED)
    assert below
    assert not [one for one in (runner, *below) if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("until", ["x", "2020-01-01", "2020-01-01T00:00:00", ["x"], 10**30])
def test_an_expiration_that_is_no_time_harms_its_unit_alone(until: Any, node: Node) -> None:
    unit = running(node)
    (node.data / "odd").mkdir()
    status = {"State": 0, "WorkType": "remote", "ExtraData": {"Expiration": until}}
    (node.data / "odd" / "status").write_text(json.dumps(status))
    for _ in range(2):
        with Client(node) as client:
            found = parse_reply(client.say(b"work list\n"))
        assert (found[unit]["State"], found["odd"]["State"]) == (RUNNING, FAILED)
        node.kill()
        node.start()


@pytest.mark.parametrize("name", ["status", "stdin", "stdout"])
def test_what_is_no_file_in_a_unit_freezes_nobody(name: str, node: Node) -> None:
    unit, odd = running(node), running(node)
    path = node.data / odd / name
    path.unlink()
    os.mkfifo(path)
    for _ in range(2):
        with Client(node, 10) as first, Client(node, 10) as second:
            first.send(f"work results {odd}\n".encode())
            assert parse_reply(second.say(b"work list\n"))[unit]["State"] == RUNNING
        node.kill()
        node.start()


def test_a_unit_that_could_not_be_made_leaves_no_name() -> None:
    with solo(before=["bash", "-c", 'ulimit -n 20; exec "$@"', "bash"]) as node:
        clients = []
        with contextlib.suppress(AssertionError, OSError):
            for _ in range(30):
                clients.append(Client(node, 2))
        line = submit_line(workUnitID="wanted")
        try:
            answers = [client.say(line) for client in clients[-1:]]
        finally:
            for client in clients:
                client.close()
        if answers and answers[0].startswith(b"ERROR"):
            with Client(node) as client:
                assert client.say(line).startswith(b"Work unit created")
