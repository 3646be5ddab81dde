"""Mixtures of our stages and ansible-runner's, and what must be the same for all of them."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.support.commands import OURS
from tests.support.private_data import INVENTORY, DirFactory, tasks
from tests.support.processes import wait_for
from tests.support.streams import events_of, stream_lines

Stage = list[str]


T = TypeVar("T")


IDENT = "job1"


@dataclass
class Scenario:
    """One way for a job to go. ``rc`` is the artifact's; ``exit_code`` what our process stage ends with."""

    status: str
    rc: int
    exit_code: int
    playbook: str | None = None
    arguments: tuple[str, ...] = ("-p", "test.yml")
    inventory: str = INVENTORY
    files: dict[str, str] = field(default_factory=dict)
    worker_arguments: tuple[str, ...] = ()
    #: Interrupt the worker when this text has come.
    interrupt_at: bytes | None = None
    #: The job is cut off somewhere: only events up to its start can be compared.
    cut: bool = False


SUCCESS = (
    tasks(
        'name: "say ünïcode"\ndebug: {msg: hello}',
        "name: run\ncommand: echo {{ item }}\nloop: [one, two]\nnotify: handle",
        "name: skip\ndebug: {msg: no}\nwhen: false",
        "name: keep a secret\ndebug: {msg: geheim}\nno_log: true",
        "name: keep stats\nset_stats: {data: {answer: 42}}",
    )
    + "  handlers:\n    - name: handle\n      debug: {msg: handled}\n"
)


ARTIFACTS = tasks(
    "name: leave files\n"
    "shell: >-\n"
    "  cd {{ lookup('env', 'AWX_ISOLATED_DATA_DIR') }} && mkdir -p sub/empty && echo text > sub/file &&\n"
    "  printf '#!/bin/sh\\n' > sub/tool && chmod 0700 sub/tool && ln -s file sub/link && ln -s nowhere sub/dangling"
)


UNREACHABLE = "gone ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o ConnectTimeout=3'\n"


SCENARIOS = {
    "successful": Scenario("successful", 0, 0, SUCCESS),
    "failed": Scenario("failed", 2, 2, tasks("name: fall\ncommand: /bin/false", "name: never\ndebug: {msg: no}")),
    "unreachable": Scenario("failed", 4, 4, tasks("name: reach\nping:"), inventory=UNREACHABLE),
    "cancelled": Scenario(
        "canceled", 254, 130, tasks("name: wait\ncommand: sleep 10"), interrupt_at=b"runner_on_start", cut=True
    ),
    "timed out": Scenario(
        "timeout",
        254,
        124,
        tasks("name: wait\ncommand: sleep 14"),
        files={"env__settings": "job_timeout: 8\n"},
        cut=True,
    ),
    "ad hoc": Scenario("successful", 0, 0, arguments=("-m", "command", "-a", "echo ad hoc", "--hosts", "all")),
    "role": Scenario(
        "successful",
        0,
        0,
        arguments=("-r", "greeter", "--hosts", "all", "--role-skip-facts"),
        files={"project__roles__greeter__tasks__main.yml": "- name: greet\n  debug: {msg: from a role}\n"},
    ),
    "prompt": Scenario(
        "successful",
        0,
        0,
        "- hosts: all\n  gather_facts: false\n  vars_prompt:\n    - {name: word, prompt: Say the word, private: true}\n"
        "  tasks:\n    - name: check\n      assert: {that: word == 'sesame'}\n",
        files={"env__passwords": '{"Say the word:\\\\s*$": "sesame"}'},
    ),
    "artifacts": Scenario("successful", 0, 0, ARTIFACTS),
    "keep-alives": Scenario(
        "successful", 0, 0, tasks("name: wait\ncommand: sleep 2.5"), worker_arguments=("--keepalive-seconds", "1")
    ),
}


class Runs:
    """Runs each stage once for each way to come to it: mixtures share what they have in common."""

    def __init__(self, top: Path, ansible_runner: Stage, *, without_ident: tuple[str, ...] = ()) -> None:
        """``without_ident``: whose process stage cannot be told an ident."""
        self._top = top
        self._without_ident = without_ident
        self._stages = {"ours": OURS, "theirs": ansible_runner}
        self._done: dict[tuple[str, ...], Any] = {}

    def _once(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        if key not in self._done:
            self._done[key] = make()
        found: T = self._done[key]
        return found

    def transmit(self, name: str, by: str) -> Path:
        return self._once((name, by), lambda: self._transmit(name, by))

    def _transmit(self, name: str, by: str) -> Path:
        scenario = SCENARIOS[name]
        make = DirFactory(self._top / name.replace(" ", "-") / by)
        directory = make(scenario.playbook, inventory=scenario.inventory, **scenario.files)
        stream = directory.parent / "job.stream"
        arguments = [*self._stages[by], "transmit", str(directory), *scenario.arguments, "-i", IDENT]
        with stream.open("wb") as output:
            subprocess.run(arguments, stdout=output, check=True, timeout=60)
        return stream

    def work(self, name: str, transmitted: str, by: str) -> tuple[Path, int]:
        return self._once((name, transmitted, by), lambda: self._work(name, transmitted, by))

    def _work(self, name: str, transmitted: str, by: str) -> tuple[Path, int]:
        scenario = SCENARIOS[name]
        job = self.transmit(name, transmitted)
        results = job.with_name(f"results-{by}.stream")
        with job.open("rb") as source, results.open("wb") as output:
            worker = subprocess.Popen(
                [*self._stages[by], "worker", *scenario.worker_arguments], stdin=source, stdout=output
            )
            try:
                mark = scenario.interrupt_at
                if mark is not None:
                    wait_for(lambda: mark in results.read_bytes(), "the job is running", 30)
                    worker.send_signal(signal.SIGTERM)
                return results, worker.wait(60)
            finally:
                worker.kill()
                worker.wait()

    def baseline(self, name: str) -> Path:
        """The artifacts as ansible-runner alone leaves them."""
        return self._once((name, "baseline"), lambda: self.process(name, "theirs", "theirs", "theirs", "baseline")[0])

    def process(
        self, name: str, transmitted: str, worked: str, by: str, place: str = "after"
    ) -> tuple[Path, int, bytes]:
        results, _ = self.work(name, transmitted, worked)
        directory = results.with_name(f"{place}-{worked}-{by}")
        directory.mkdir()
        ident = [] if by in self._without_ident else ["-i", IDENT]
        colours = ["--color", "always"] if by == "ours" else []  # as ansible-runner prints into a pipe
        arguments = [*self._stages[by], "process", str(directory), *ident, *colours]
        with results.open("rb") as source:
            done = subprocess.run(arguments, stdin=source, capture_output=True, timeout=60, check=False)
        return directory.joinpath("artifacts", *ident[1:]), done.returncode, done.stdout


def summary(artifacts: Path, *, cut: bool) -> list[tuple[Any, ...]]:
    """The events as anyone would compare them: type, host, task, output."""
    found = []
    for event in events_of(artifacts):
        data = event.get("event_data") or {}
        text = re.sub(
            r"/tmp/[^ '\"\r\n]+?(?=/(?:inventory|project|artifacts)\b|[ '\"\r\n])",
            "TMP",
            event["stdout"].rstrip("\r\n"),
        )
        text = re.sub(r'"(delta|start|end)": "[^"]*"', r'"\1": "TIME"', text)
        found.append((event["event"], data.get("host"), data.get("task"), text))
        if cut and event["event"] == "runner_on_start":
            break
    return found


def tree(artifacts: Path) -> dict[str, str]:
    """What lies in an artifact directory: kind, target of a link, whether it can be executed."""
    found = {}
    for path in sorted(artifacts.rglob("*")):
        name = str(path.relative_to(artifacts))
        if name.startswith(("job_events/", "fact_cache")):
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        else:
            found[name] = "directory" if path.is_dir() else "tool" if path.stat().st_mode & 0o100 else "file"
    return found


def check_mixture(runs: Runs, scenario: str, mixture: tuple[str, str, str]) -> None:
    """Nobody can tell this mixture of stages from ansible-runner alone, except that our process stage exits as the job
    did."""
    transmitted, worked, processed = mixture
    expected = SCENARIOS[scenario]
    artifacts, exit_code, printed = runs.process(scenario, transmitted, worked, processed)

    assert (artifacts / "status").read_text() == expected.status
    assert (artifacts / "rc").read_text() == str(expected.rc)
    statuses = [
        line["status"]
        for line in stream_lines(runs.work(scenario, transmitted, worked)[0].read_bytes())
        if "status" in line
    ]
    assert statuses == ["starting", "running", expected.status]
    assert exit_code == (expected.exit_code if processed == "ours" else 0)

    baseline = runs.baseline(scenario)
    assert summary(artifacts, cut=expected.cut) == summary(baseline, cut=expected.cut)
    assert tree(artifacts) == tree(baseline)
    for event in events_of(artifacts):
        if event["stdout"].strip():
            assert event["stdout"].strip().encode() in printed


MIXTURES = list(itertools.product(("ours", "theirs"), repeat=3))
