"""What one task costs beside bare ``ansible-playbook``: ``run`` in place, the peer's ``run``, our pipe, an embedded
node, and one hop of a real mesh.

Rules: all in turns, with the same project. The median of the rounds counts, and what is printed is what each adds to
Ansible's own time."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.nodes import daemon_binary, running

ROUNDS = 9
JOB = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: hello}\n"


def local(scratch: Path, ours: str, theirs: str, ansible_playbook: str) -> None:
    """Prints the comparison. The last three are the commands."""
    os.environ["XDG_STATE_HOME"] = str(scratch / "state")
    directory = scratch / "job"
    for below in ("project", "inventory"):
        (directory / below).mkdir(parents=True)
    (directory / "project" / "test.yml").write_text(JOB)
    (directory / "inventory" / "hosts").write_text("localhost ansible_connection=local\n")
    run = f"run {directory} -p test.yml -q"
    commands = {
        "bare": f"{ansible_playbook} -i {directory}/inventory {directory}/project/test.yml",
        "ours: run": f"{ours} {run}",
        "theirs: run": f"{theirs} {run}",
        "ours: pipe": f"{ours} transmit {directory} -p test.yml | {ours} worker | {ours} process {scratch}/out -q -i $$",
    }
    with ExitStack() as opened:
        embedded = opened.enter_context(running("embedded-1.4"))
        commands["ours: embedded node"] = f"{ours} {run} --socket {embedded.controller.socket}"
        if daemon_binary() is None:
            print("run: one hop is left out: there is no Receptor daemon on PATH or in RECEPTOR_BIN")
        else:
            daemon = opened.enter_context(running("daemon"))
            commands["ours: one hop"] = (
                f"{ours} {run} --socket {daemon.controller.socket} --node {daemon.executor.name}"
            )
        _compare(commands)


def _compare(commands: dict[str, str]) -> None:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare = medians.pop("bare")
    print(f"run: one task, bare ansible-playbook {bare:.2f} s (median of {ROUNDS})")
    for name, median in medians.items():
        print(f"run: {name:25} {median:6.2f} s, added {median - bare:5.2f} s", flush=True)
