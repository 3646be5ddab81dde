"""The same job over a real two-node mesh: our ``run --node``, and the pipe ``transmit | receptorctl work submit -f |
process`` with our stages and with ansible-runner's; and the worker in a plain pipe, for the mesh's own share.

Rules: same payload for all, in turns; times are taken at the consumer's standard output, where all print the same
text. Needs the daemon."""

from __future__ import annotations

import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from receptor_runner import Mesh as Client
from tests.benchmarks.measure import Times, timed
from tests.support.nodes import Mesh, Node, free_port
from tests.support.nodes import daemon_binary as find_daemon

ROUNDS = 5
JOB = """- hosts: all
  gather_facts: false
  tasks:
    - debug: {msg: first}
    - command: sleep 2
    - debug: {msg: last}
"""
QUIET = "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: sleep 100\n"
RECEPTORCTL = str(Path(sys.executable).parent / "receptorctl")


def mesh(scratch: Path, ours: str, theirs: str) -> None:
    """Prints the comparison. ``ours`` and ``theirs`` are the two commands."""
    binary = find_daemon()
    if binary is None:
        print("mesh: there is no Receptor daemon on PATH or in RECEPTOR_BIN; left out")
        return
    os.environ["XDG_STATE_HOME"] = str(scratch / "state")
    with tempfile.TemporaryDirectory(prefix="rrb-", dir="/tmp") as directory:
        started = _mesh(Path(directory), binary, ours, theirs)
        try:
            started.start()
            _latency(scratch, started, ours, theirs)
            _cancel(scratch, started, ours)
            _look(scratch, started, ours)
            _throughput(scratch, started, ours, theirs)
            _followers(scratch, started, ours)
        finally:
            started.stop()


def _mesh(directory: Path, binary: str, ours: str, theirs: str) -> Mesh:
    work: list[dict[str, Any]] = [
        {"work-command": {"worktype": "receptor-runner", "command": ours, "params": "worker --keepalive-seconds 10", "allowruntimeparams": True}},
        {"work-command": {"worktype": "ansible-runner", "command": theirs, "params": "worker"}},
        {"work-command": {"worktype": "cat", "command": "cat"}},
    ]  # fmt: skip
    return two_nodes(directory, binary, work)


def two_nodes(directory: Path, binary: str, work: list[dict[str, Any]]) -> Mesh:
    """A controller and one executor with the work-commands ``work``, to be started."""
    port = free_port()
    controller = Node(directory, "ctl", [{"tcp-listener": {"bindaddr": "127.0.0.1", "port": port}}], [binary])
    executor = Node(directory, "exec-1", [{"tcp-peer": {"address": f"127.0.0.1:{port}"}}, *work], [binary])
    return Mesh("daemon", [controller, executor])


def _job(scratch: Path, playbook: str) -> Path:
    directory = scratch / "job"
    for below in ("project", "inventory"):
        (directory / below).mkdir(parents=True, exist_ok=True)
    hosts = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'
    (directory / "inventory" / "hosts").write_text(hosts)
    (directory / "project" / "test.yml").write_text(playbook)
    return directory


def _lines(job: str, started: Mesh, ours: str, theirs: str, ident: str) -> dict[str, str]:
    """Shell lines that run one job in each way; their output is the job's."""
    socket = started.controller.socket
    submit = f"{RECEPTORCTL} --socket {socket} work submit"
    follow = "--node exec-1 -f --rm -p -"
    what = f"{job} -p test.yml {ident}"
    return {
        "ours, run --node": f"{ours} run {what} --socket {socket} --node exec-1",
        "our stages, receptorctl -f": f"{ours} transmit {what} | {submit} receptor-runner {follow} | {ours} process {job}",
        "ansible-runner, receptorctl -f": f"{theirs} transmit {what} | {submit} ansible-runner {follow}"
        f" | {theirs} process {job}",
        "our stages, plain pipe": f"{ours} transmit {what} | {ours} worker | {ours} process {job}",
    }


def _latency(scratch: Path, started: Mesh, ours: str, theirs: str) -> None:
    lines = _lines(shlex.quote(str(_job(scratch, JOB))), started, ours, theirs, "")
    found: dict[str, list[Times]] = {name: [] for name in lines}
    for _ in range(ROUNDS):
        for name, line in lines.items():
            found[name].append(timed(["bash", "-c", line]))
    for name, times in found.items():
        first, tail, whole = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"mesh: {name:32} first text {first:5.2f} s   last text to end {tail:5.2f} s   whole {whole:5.2f} s",
            flush=True,
        )


def _cancel(scratch: Path, started: Mesh, ours: str) -> None:
    job = _job(scratch, QUIET)
    words = [ours, "run", str(job), "-p", "test.yml", "--socket", str(started.controller.socket), "--node", "exec-1"]
    took = []
    for _ in range(ROUNDS):
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert run.stdout is not None
        text = b""
        while b"TASK" not in text:
            text += os.read(run.stdout.fileno(), 65536)
        time.sleep(1)
        begun = time.perf_counter()
        run.send_signal(signal.SIGINT)
        run.communicate()
        took.append(time.perf_counter() - begun)
    print(f"mesh: cancel of a quiet job, Ctrl-C to end {statistics.median(took):5.2f} s", flush=True)


def _look(scratch: Path, started: Mesh, ours: str) -> None:
    """From the question to the answer, and from the wish to the host that Ansible has reported, over one hop."""
    asked, ended = [], []
    for number in range(ROUNDS):
        job = _job(scratch, QUIET)
        name, at = f"look{number}", shlex.join(started.arguments())
        words = (
            f"{ours} submit {job} -p test.yml -i {name} {at} --node {started.executor.name} --worktype receptor-runner"
        )
        subprocess.run(shlex.split(words), check=True, capture_output=True)
        while True:
            begun = time.perf_counter()
            found = subprocess.run([ours, "inspect", name, "-o", "json"], check=True, capture_output=True).stdout
            took = time.perf_counter() - begun
            running = json.loads(found)["running"]
            if running and len(running[0]["pids"]) > 1:
                break
        asked.append(took)
        begun = time.perf_counter()
        subprocess.run([ours, "kill", name, "--host", running[0]["host"]], check=True, capture_output=True)
        ended.append(time.perf_counter() - begun)
        subprocess.run([ours, "attach", name, "-q"], check=False, capture_output=True)
    print(f"inspect over one hop: {statistics.median(asked):.2f} s; kill: {statistics.median(ended):.2f} s", flush=True)


def _throughput(scratch: Path, started: Mesh, ours: str, theirs: str) -> None:
    """One job with 200 MB there and 200 MB back. Not with ansible-runner's worker: it writes its archive in pieces so
    small that Receptor's synchronous file takes them for minutes."""
    copy = "copy: {src: '{{ playbook_dir }}/big', dest: '{{ playbook_dir }}/../artifacts/b/big', remote_src: true}"
    job = _job(scratch, f"- hosts: all\n  gather_facts: false\n  tasks:\n    - {copy}\n")
    with (job / "project" / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(2**20))
    for name, line in _lines(shlex.quote(str(job)), started, ours, theirs, "-i b").items():
        if not name.startswith("ansible-runner"):
            print(f"mesh: 200 MB there and back, {name:32} {timed(['bash', '-c', line]).whole:6.1f} s", flush=True)
    (job / "project" / "big").unlink()


def _followers(scratch: Path, started: Mesh, ours: str) -> None:
    """What fifty followers of quiet jobs cost one process."""
    job = _job(scratch, QUIET)
    count, watched = 50, 10.0
    names = [f"f{number}" for number in range(count)]
    words = ["--socket", str(started.controller.socket), "--node", "exec-1", "-p", "test.yml"]
    for name in names:
        subprocess.run([ours, "submit", str(job), "-i", name, *words], check=True, stdout=subprocess.DEVNULL)
    own = psutil.Process()
    threads = [threading.Thread(target=lambda name=name: Client.job(name).follow(), daemon=True) for name in names]
    threads[0].start()
    time.sleep(5)
    one = own.memory_info().rss
    for thread in threads[1:]:
        thread.start()
    time.sleep(10)
    before = sum(own.cpu_times()[:2])
    time.sleep(watched)
    cost = (sum(own.cpu_times()[:2]) - before) / watched / count
    memory = (own.memory_info().rss - one) / (count - 1) / 2**20
    print(f"mesh: a follower of a quiet job      {cost:.2%} of a core   {memory:.2f} MiB beyond the first", flush=True)
    subprocess.run([ours, "cancel", *names], check=False, stdout=subprocess.DEVNULL)
    for thread in threads:
        thread.join(60)
