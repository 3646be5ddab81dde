"""What controllers wait for: events handled without files, facts, large inventories, large results."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import Measured, measure

__all__ = ["JOBS", "handle", "through"]

_HANDLER = (
    "import {module} as runner, sys\n"
    "result = runner.interface.run(streamer='process', _input=open(sys.argv[1], 'rb'), quiet=True,\n"
    "                              event_handler=lambda event: False, private_data_dir=sys.argv[2])\n"
    "assert result.status == 'successful'\n"
)


def handle(module: str, scratch: Path, stream: Path) -> Measured:
    """A process stage whose handler wants no files."""
    target = scratch / "handled"
    measured = measure([sys.executable, "-c", _HANDLER.format(module=module), str(stream), str(target)], scratch)
    shutil.rmtree(target, ignore_errors=True)
    return measured


def through(runner: list[str], scratch: Path, directory: Path) -> list[Measured]:
    """The three stages one after the other, and behind them their sum, with the largest peak."""
    target, job, results = scratch / "back", scratch / "job.stream", scratch / "results.stream"
    transmitted = ["transmit", str(directory), "-p", "test.yml", "-i", "j"]
    stages = [
        measure([*runner, *transmitted], scratch, stdout=job),
        measure([*runner, "worker"], scratch, stdin=job, stdout=results),
        measure([*runner, "process", str(target)], scratch, stdin=results, stdout=scratch / "printed"),
    ]
    shutil.rmtree(target)
    total = Measured(sum(s.wall for s in stages), sum(s.cpu for s in stages), max(s.peak for s in stages))
    return [*stages, total]


def _job(directory: Path, playbook: str, inventory: str) -> None:
    for name in ("project", "inventory"):
        (directory / name).mkdir(parents=True)
    (directory / "project" / "test.yml").write_text(playbook)
    (directory / "inventory" / "hosts").write_text(inventory)


_PLAY = "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - {task}\n"
_LOCAL = 'localhost ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"\n'


def _facts(directory: Path) -> None:
    """2,000 hosts, 50 kB each; the job changes those of one."""
    _job(directory, _PLAY.format(hosts="localhost", task="set_fact: {mine: 1, cacheable: true}"), _LOCAL)
    cache = directory / "artifacts" / "j" / "fact_cache"
    cache.mkdir(parents=True)
    for number in range(2000):
        facts = {f"ansible_fact_{n}": {"value": n * number, "name": f"fact {n} of host {number}"} for n in range(700)}
        (cache / f"host{number}").write_text(json.dumps(facts)[:49_990].rpartition(', "ansible')[0] + "}")


def _inventory(directory: Path) -> None:
    """A script that names 80,000 hosts."""
    _job(directory, _PLAY.format(hosts="host7", task="debug: {msg: hello}"), "")
    script = directory / "inventory" / "hosts"
    hosts = {"all": {"hosts": [f"host{number}" for number in range(80_000)], "vars": {"ansible_connection": "local"}}}
    data = {**hosts, "_meta": {"hostvars": {f"host{number}": {"number": number} for number in range(80_000)}}}
    (directory / "project" / "hosts.json").write_text(json.dumps(data))
    script.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/../project/hosts.json"\n')
    script.chmod(0o700)


def _results(directory: Path) -> None:
    """A file of 233 MB among the artifacts, that compresses to two thirds."""
    task = "command: cp output.json {{ lookup('env', 'AWX_ISOLATED_DATA_DIR') }}/output.json"
    _job(directory, _PLAY.format(hosts="localhost", task=task), _LOCAL)
    with (directory / "project" / "output.json").open("wb") as file:
        for _ in range(233):
            file.write(os.urandom(500_000).hex().encode())


JOBS: dict[str, Callable[[Path], None]] = {
    "facts of 2,000 hosts, 50 kB each": _facts,
    "inventory script of 80,000 hosts": _inventory,
    "result file of 233 MB": _results,
}
