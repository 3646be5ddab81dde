"""What controllers need of the stages, one test for each need that no other file shows (docs/controllers.md)."""

from __future__ import annotations

import io
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import receptor_runner
from receptor_runner.errors import RefusedError
from receptor_runner.mesh.connection import refusal
from receptor_runner.mesh.route import MeshStatus
from receptor_runner.receptor.control_protocol import CommandError
from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.commands import CHILDREN, OURS, ours
from tests.support.handlers import Calls
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch, wait_for
from tests.support.streams import event, events_of, results

pytestmark = pytest.mark.slow


def process(stream: Any, directory: Path, **parameters: Any) -> Any:
    source = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    return receptor_runner.interface.run(
        streamer="process", _input=source, private_data_dir=str(directory), quiet=True, **parameters
    )


def worked(directory: Path, **parameters: Any) -> bytes:
    """The worker's stream of the job."""
    job = io.BytesIO()
    receptor_runner.interface.run(streamer="transmit", _output=job, private_data_dir=str(directory), **parameters)
    return ours("worker", input=job.getvalue()).stdout


# the surface


def test_everything_is_an_attribute_of_the_package() -> None:
    """With the one import, in a fresh interpreter, and replaceable for a controller's own tests."""
    code = (
        "import receptor_runner as r; from receptor_runner.utils.capacity import get_cpu_count, get_mem_in_bytes; "
        "assert r.utils.args2cmdline('a', 'b c') == \"a 'b c'\"; assert callable(r.cleanup.run_cleanup); "
        "assert get_cpu_count() > 0 and isinstance(get_mem_in_bytes(), int); "
        "from unittest import mock; patched = mock.patch('receptor_runner.interface.run', return_value=5); "
        "patched.start(); assert r.interface.run() == 5"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_dictionary_serves_every_stage(make_dir: DirFactory, tmp_path: Path) -> None:
    """What is not for a stage, or not known at all, is ignored: a controller sends ``quite`` too."""
    calls = Calls()
    directory = make_dir(tasks("debug: {msg: hello}"))
    everything = {"playbook": "test.yml", "ident": 5, "quite": True, "cancel_callback": None, **calls.handlers()}
    stream = worked(directory, **everything)
    assert process(stream, tmp_path / "back", **everything).status == "successful"
    assert [name for name, _ in calls.calls].count("finished") == 1


def test_parameters_alone_are_enough_on_a_shared_machine(make_dir: DirFactory, tmp_path: Path) -> None:
    """``only_transmit_kwargs``: the worker finds the private data dir where the controller wrote it."""
    directory = make_dir(tasks("debug: {msg: hello}"))
    job = io.BytesIO()
    receptor_runner.interface.run(
        streamer="transmit", _output=job, private_data_dir=str(directory), playbook="test.yml", ident=5,
        only_transmit_kwargs=True,
    )  # fmt: skip
    assert b"zipfile" not in job.getvalue()
    done = ours("worker", f"--private-data-dir={directory}", input=job.getvalue())
    assert process(done.stdout, tmp_path / "back").status == "successful"


# what a controller puts into a job


def test_an_inventory_script_stays_executable(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hello}"))
    script = directory / "inventory" / "hosts"
    script.write_text(
        '#!/bin/sh\necho \'{"all": {"hosts": ["from-script"], "vars": {"ansible_connection": "local"}}}\'\n'
    )
    script.chmod(0o700)
    stream = worked(directory, playbook="test.yml", inventory=str(script))
    assert b"from-script" in stream


def test_thirty_prompts_in_the_controllers_order(make_dir: DirFactory) -> None:
    """The first expression that matches answers, an answer may be empty, and long lists are no slower to match."""
    passwords = {f"never number {number}:\\s*?$": "" for number in range(30)}
    passwords |= {"secret word:\\s*?$": "geheim", "word:\\s*?$": "wrong"}
    directory = make_dir(args=f"{sys.executable} {CHILDREN}/asks.py")
    assert b'"status": "successful"' in worked(directory, passwords=passwords)


@pytest.mark.parametrize("kind", ["", "jsonfile"])
def test_the_fact_cache_can_be_switched_off(kind: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("set_fact: {mine: 1, cacheable: true}"))
    process(worked(directory, playbook="test.yml", fact_cache_type=kind), tmp_path / "back")
    assert (tmp_path / "back" / "artifacts" / "fact_cache_modified.json").exists() == bool(kind)


def test_unsafe_variables_stay_unsafe(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {var: mine}"), env__extravars="mine: !unsafe '{{ 40 + 2 }}'\n")
    stream = worked(directory, playbook="test.yml")
    assert b"40 + 2" in stream
    assert b'"mine": "42"' not in stream.replace(b"\\", b"")


# what a controller is told


def test_every_event_can_be_stored(make_dir: DirFactory) -> None:
    """Controllers index these keys, and call a job complete when its counters are."""
    lines = [
        json.loads(line)
        for line in worked(make_dir(tasks("debug: {msg: hello}")), playbook="test.yml").split(b"\n")[:-2]
        if b'"counter"' in line
    ]
    assert [line["counter"] for line in lines] == list(range(1, len(lines) + 1))
    for line in lines:
        assert {"uuid", "stdout", "start_line", "end_line", "event", "created"} <= set(line)
    assert all(one["end_line"] == other["start_line"] for one, other in itertools.pairwise(lines))


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (results(), "successful"),
        (results("failed", 2), "failed"),
        (b"", "error"),
        (results()[:-100], "error"),
        (b"Traceback (most recent call last):\n", "error"),
        (encode({"status": "error", "job_explanation": "broken"}) + END_OF_STREAM, "error"),
    ],
)
def test_the_end_comes_once_whatever_came_before(stream: bytes, status: str, tmp_path: Path) -> None:
    calls = Calls()
    assert process(stream, tmp_path, **calls.handlers()).status == status
    assert [call for call in calls.calls if call[0] == "finished"] == [("finished", status)]
    assert calls.calls[-1][0] == "finished"


def test_artifacts_are_told_only_when_all_of_them_are_there(tmp_path: Path) -> None:
    """A controller saves facts then: of an archive that is cut it must not."""
    calls = Calls()
    whole = results()
    process(whole[: whole.rindex(b'{"eof"') - 20], tmp_path, **calls.handlers())
    assert "artifacts" not in [name for name, _ in calls.calls]


def test_the_result_knows_the_return_code(tmp_path: Path) -> None:
    """ansible_runner's is always None over a stream."""
    assert process(results("failed", 4), tmp_path).rc == 4


# what a controller reads from


class CountingReader:
    """Only ``readline`` and ``read``, and how much was read: a controller compares it with the unit's size."""

    def __init__(self, stream: bytes) -> None:
        self._file = io.BytesIO(stream)
        self.count = 0

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._file.readline(size))

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._file.read(size))

    def _counted(self, data: bytes) -> bytes:
        self.count += len(data)
        return data


def test_a_thin_reader_is_read_to_the_end_of_the_stream(tmp_path: Path) -> None:
    stream = results(events=50)
    reader = CountingReader(stream)
    assert process(reader, tmp_path).status == "successful"
    assert reader.count == len(stream)


def test_a_stream_with_foreign_lines_ends_well(tmp_path: Path) -> None:
    """Banners, warnings and tracebacks between the lines: "Failed to JSON parse a line" has been AWX's commonest."""
    lines = results(events=20).split(b"\n")
    noisy = b"\n".join(part for line in lines[:-2] for part in (b"Warning: permanently added 'host'", line))
    noisy += b"\n" + b"\n".join(lines[-2:])
    outcome = process(noisy, tmp_path)
    assert outcome.status == "successful"
    assert len(events_of(tmp_path / "artifacts")) == 20


def test_the_log_of_a_pod_that_lost_its_beginning(tmp_path: Path) -> None:
    """What is there is delivered, and what is missing is counted. ansible-runner's worker counts no events, but numbers
    them."""
    counted = results(events=20)
    outcome = process(counted[len(counted) // 3 :], tmp_path / "ours")
    assert (outcome.status, outcome.exit_code, outcome.complete) == ("successful", 0, False)
    assert outcome.missing_events == 20 - len(events_of(tmp_path / "ours" / "artifacts"))
    assert 0 < len(events_of(tmp_path / "ours" / "artifacts")) < 20
    assert (tmp_path / "ours" / "artifacts" / "rc").exists()
    uncounted = results(events=20).replace(b', "receptor_runner": {"events": 20}', b"")
    theirs = process(uncounted[len(uncounted) // 3 :], tmp_path / "theirs")
    assert (theirs.status, theirs.missing_events) == ("successful", outcome.missing_events)


def test_a_socket_shut_under_the_process_stage_ends_it_at_once(tmp_path: Path) -> None:
    """A controller cancels so: the stage must not wait for what will not come."""
    reading, writing = socket.socketpair()
    calls = Calls()
    outcomes: list[Any] = []
    with reading, writing:
        writing.sendall(results()[:600])
        file = reading.makefile("rb")
        thread = threading.Thread(target=lambda: outcomes.append(process(file, tmp_path, **calls.handlers())))
        thread.start()
        wait_for(lambda: calls.calls, "it reads")
        begun = Stopwatch()
        reading.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        file.close()
    assert begun.seconds() < 2
    assert outcomes[0].status == "error"
    assert [call for call in calls.calls if call[0] == "finished"] == [("finished", "error")]


def test_a_cancelled_job_sends_its_artifacts_to_who_keeps_reading(make_dir: DirFactory, tmp_path: Path) -> None:
    worker = subprocess.Popen([*OURS, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    job = io.BytesIO()
    directory = make_dir(tasks("command: sleep 60"))
    receptor_runner.interface.run(
        streamer="transmit", _output=job, private_data_dir=str(directory), playbook="test.yml"
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    with worker.stdin, worker.stdout:
        worker.stdin.write(job.getvalue())
        worker.stdin.flush()
        calls = Calls()

        def handler(data: dict[str, Any]) -> None:
            if data["event"] == "runner_on_start":
                worker.terminate()

        outcome = process(worker.stdout, tmp_path, **{**calls.handlers(), "event_handler": handler})
    worker.wait(10)
    assert (outcome.status, outcome.rc) == ("canceled", 254)
    assert "artifacts" in [name for name, _ in calls.calls]


# handlers that are slow


@pytest.mark.parametrize(("delay", "repeats"), [(0.05, 100), (2.0, 3)])
def test_a_slow_handler_loses_nothing(delay: float, repeats: int, make_dir: DirFactory, tmp_path: Path) -> None:
    """Events were lost when a handler took 2 s (runner issues 1330, 1343); 50 ms are "devastating" for AWX."""
    directory = make_dir(tasks(f"debug: {{msg: '{{{{ item }}}}'}}\nloop: '{{{{ range({repeats}) | list }}}}'"))
    seen: list[int] = []

    def handler(data: dict[str, Any]) -> None:
        time.sleep(delay if data["event"].startswith("runner_item") else 0)
        seen.append(data["counter"])

    result = receptor_runner.interface.run(
        private_data_dir=str(directory), playbook="test.yml", quiet=True, event_handler=handler
    )
    assert result.status == "successful"
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > repeats


def test_a_slow_handler_does_not_grow_memory(tmp_path: Path) -> None:
    """What is not read stays with the writer: 200 MB of events are on their way, and the stage takes a few of them."""
    script = (
        "import receptor_runner, re, sys, time\n"
        "def slow(event):\n"
        "    time.sleep(0.005 if event['counter'] < 200 else 0)\n"
        "result = receptor_runner.run(streamer='process', _input=sys.stdin.buffer, quiet=True, event_handler=slow,\n"
        "                             private_data_dir=sys.argv[1], artifacts_handler=None)\n"
        "print(result.status, re.search('VmHWM:.*?([0-9]+)', open('/proc/self/status').read())[1])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stage:
        assert stage.stdin is not None
        assert stage.stdout is not None
        head, tail = results(events=0).split(encode({"status": "running", "runner_ident": "j"}))
        stage.stdin.write(head)
        for number in range(1, 401):
            stage.stdin.write(event(number, f"u{number}", stdout="x" * 500_000))
        stage.stdin.write(tail.replace(b'"events": 0', b'"events": 400'))
        stage.stdin.close()
        status, peak = stage.stdout.read().split()
    assert status == b"successful"
    assert int(peak) < 120 * 1024


# the mesh, as a controller meets it


def test_a_node_is_where_the_routing_table_has_it() -> None:
    """AWX reads advertisements, which come once a minute: a node that came back is missing so long."""
    offer = MeshStatus({"NodeID": "ctl", "RoutingTable": {"back": "hop"}, "Advertisements": []})
    assert offer.node("back").reachable
    stale = MeshStatus(
        {"NodeID": "ctl", "RoutingTable": {}, "Advertisements": [{"NodeID": "gone", "Service": "control"}]}
    )
    assert not stale.node("gone").reachable


def test_a_token_that_expired_is_a_refusal_that_names_clocks() -> None:
    """AWX issue 13105: "token is expired by 1m29s" was taken for a node that is away."""
    found = refusal(CommandError("could not verify signature: token has invalid claims: token is expired by 1m29s"))
    assert isinstance(found, RefusedError)
    assert "clocks" in str(found)


# errors a controller can show


#: A stream, and what the error must say.
FAULTS = {
    "bad parameters": (encode({"kwargs": {"passwords": 5}}) + END_OF_STREAM, "passwords"),
    "no such program": (
        encode({"kwargs": {"binary": "/nowhere/ansible-playbook"}}) + END_OF_STREAM,
        "install ansible-core where the worker runs",
    ),
    "no isolation": (
        encode({"kwargs": {"module": "ping", "process_isolation": True}}) + END_OF_STREAM,
        "isolat",
    ),
    "payload cut": (encode({"kwargs": {"module": "ping"}})[:-5], "end mark"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_stops_a_job_is_told_where_a_controller_looks(name: str, tmp_path: Path) -> None:
    """As an ``error`` with both texts; and a worker's exit status makes its work unit a failed one."""
    stream, text = FAULTS[name]
    done = ours("worker", input=stream)
    assert done.returncode != 0
    assert done.stderr == b""
    outcome = process(done.stdout, tmp_path / "back")
    assert outcome.status == "error"
    assert text in outcome.job_explanation
    assert outcome.result_traceback
