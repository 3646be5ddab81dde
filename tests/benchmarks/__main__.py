"""The same work through us and through ansible-runner, in one go: ``python -m tests.benchmarks [PART…]``.

Prints for each piece of work the wall time, processor time and peak memory of both, and the ratio theirs : ours (above
1: we are faster or smaller). Parts: start, run, transmit, process, controllers, worker, mesh, pages (of ours alone), payload, nodes (of
ours alone). Needs the extra ``test``, for the worker a few minutes, and for mesh, payload and nodes the real daemon."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks import controllers
from tests.benchmarks.local import local
from tests.benchmarks.many_nodes import many_nodes
from tests.benchmarks.measure import Measured, measure
from tests.benchmarks.mesh import mesh
from tests.benchmarks.pages import pages
from tests.benchmarks.payload import payload

BIN = Path(sys.executable).parent
OURS = [str(BIN / "receptor-runner")]
THEIRS = [str(BIN / "ansible-runner")]
INVENTORY = 'ansible_connection=local ansible_python_interpreter="{{ ansible_playbook_python }}"'


def report(what: str, ours: Measured, theirs: Measured) -> None:
    print(
        f"{what:50} wall {ours.wall:7.2f} s {theirs.wall:7.2f} s {_ratio(theirs.wall, ours.wall)}   "
        f"cpu {ours.cpu:7.2f} s {theirs.cpu:7.2f} s {_ratio(theirs.cpu, ours.cpu)}   "
        f"peak {ours.peak:6.0f} MiB {theirs.peak:6.0f} MiB {_ratio(theirs.peak, ours.peak)}",
        flush=True,
    )


def _ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:5.2f}x" if ours > 0 else "  -   "


def best(times: int, *runs: Callable[[], Measured]) -> list[Measured]:
    """The quickest of several runs of each, taken in turns: the machine's own moods (cold memory, a busy disk) meet
    them all."""
    rounds = [[run() for run in runs] for _ in range(times)]
    return [min(column, key=lambda measured: measured.wall) for column in zip(*rounds, strict=True)]


def start(scratch: Path) -> None:
    for arguments in (
        ["--version"],
        ["transmit", "--help"],
        ["worker", "--help"],
        ["process", "--help"],
        ["run", "--help"],
    ):
        both = best(9, *(partial(measure, [*runner, *arguments], scratch) for runner in (OURS, THEIRS)))
        report("start: " + " ".join(arguments), *both)


def transmit(scratch: Path) -> None:
    for name, fill in (
        ("200 MB incompressible", _incompressible),
        ("200 MB text", _text),
        ("20,000 small files", _small_files),
    ):
        directory = scratch / "job"
        (directory / "project").mkdir(parents=True)
        (directory / "project" / "test.yml").write_text("[]")
        fill(directory / "project")
        arguments = ["transmit", str(directory), "-p", "test.yml"]
        both = best(
            3,
            partial(measure, [*OURS, *arguments], scratch, stdout=scratch / "ours"),
            partial(measure, [*THEIRS, *arguments], scratch, stdout=scratch / "theirs"),
        )
        report(f"transmit: {name}", *both)
        print(
            f"{'':42} stream {(scratch / 'ours').stat().st_size / 1e6:.1f} MB, theirs {(scratch / 'theirs').stat().st_size / 1e6:.1f} MB"
        )
        shutil.rmtree(directory)


def _incompressible(directory: Path) -> None:
    with (directory / "big").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))


def _text(directory: Path) -> None:
    """Lines of words, as in logs and data: zlib's default makes a fifth of it."""
    words = [f"{random.Random(n).getrandbits(40):x}" for n in range(5000)]
    choose = random.Random(1)
    with (directory / "big").open("w") as file:
        for number in range(200):
            line = "".join(
                f"{number} {' '.join(choose.choices(words, k=8))} ok=1 changed=0 failed=0\n" for _ in range(200)
            )
            file.write((line * (1_000_000 // len(line) + 1))[:1_000_000] if number % 4 == 0 else _fresh(choose, words))


def _fresh(choose: random.Random, words: list[str]) -> str:
    text: list[str] = []
    size = 0
    while size < 1_000_000:
        line = " ".join(choose.choices(words, k=10)) + " ok=1 changed=0 failed=0\n"
        text.append(line)
        size += len(line)
    return "".join(text)[:1_000_000]


def _small_files(directory: Path) -> None:
    for number in range(20_000):
        below = directory / f"d{number // 200}"
        if number % 200 == 0:
            below.mkdir()
        (below / f"f{number}").write_text(
            f"- name: task {number}\n  debug: {{msg: text {number}}}\n" * (number % 20 + 1)
        )


def process(scratch: Path) -> None:
    for name, count, size in (("100,000 events of 1.3 kB", 100_000, 1300), ("300 events of 700 kB", 300, 700_000)):
        stream = scratch / "results"
        with stream.open("wb") as file:
            for line in _results(count, size):
                file.write(line)
        report(f"process: {name}", *best(3, *(partial(_process, runner, scratch, stream) for runner in (OURS, THEIRS))))
        modules = ("receptor_runner", "ansible_runner")
        handled = best(3, *(partial(controllers.handle, module, scratch, stream) for module in modules))
        report(f"process: {name}, no files", *handled)


def for_controllers(scratch: Path) -> None:
    report(
        "start: worker --worker-info",
        *best(5, *(partial(measure, [*runner, "worker", "--worker-info"], scratch) for runner in (OURS, THEIRS))),
    )
    for name, fill in controllers.JOBS.items():
        directory = scratch / "job"
        fill(directory)
        rounds = [[controllers.through(runner, scratch, directory) for runner in (OURS, THEIRS)] for _ in range(2)]
        for number, stage in enumerate(("transmit", "worker", "process", "all")):
            both = [min((one[side][number] for one in rounds), key=lambda m: m.wall) for side in (0, 1)]
            report(f"{name}: {stage}", *both)
        shutil.rmtree(directory)


def _process(runner: list[str], scratch: Path, stream: Path) -> Measured:
    target = scratch / "after"
    measured = measure([*runner, "process", str(target)], scratch, stdin=stream, stdout=scratch / "printed")
    shutil.rmtree(target)
    return measured


def _results(count: int, size: int) -> Iterator[bytes]:
    starting = {"status": "starting", "runner_ident": "j", "command": ["ansible-playbook"], "env": {}, "cwd": "/"}
    yield json.dumps(starting).encode() + b'\n{"status": "running", "runner_ident": "j"}\n'
    nested = {f"key{n}": {"value": n, "list": [1, 2, 3], "text": "some text"} for n in range(6)}
    for number in range(1, count + 1):
        event = {
            "uuid": f"0242ac11-0002-443b-cdb1-{number:012d}", "counter": number, "stdout": f"ok: [host{number}]", "start_line": number,
            "end_line": number + 1, "runner_ident": "j", "event": "runner_on_ok", "pid": 1, "created": "2026-11-22T00:00:00.000000+00:00",
            "parent_uuid": "0242ac11-0002-443b-cdb1-000000000008", "event_data": {"host": f"host{number}", "res": {**nested, "stdout": ""}},
        }  # fmt: skip
        missing = size - len(json.dumps(event))
        event["event_data"]["res"]["stdout"] = "x" * max(0, missing)  # type: ignore[index]
        yield json.dumps(event).encode() + b"\n"
    yield b'{"status": "successful", "runner_ident": "j"}\n{"eof": true}\n'


def worker(scratch: Path) -> None:
    hosts = "".join(f"host{number} {INVENTORY}\n" for number in range(200))
    many = "- hosts: all\n  gather_facts: false\n  tasks:\n" + "    - {debug: {msg: hello}}\n" * 20
    loop = "- hosts: host1\n  gather_facts: false\n  tasks:\n    - {debug: {msg: '{{ item }}'}, loop: '{{ range(3000) | list }}'}\n"
    for name, playbook in (("one 3,000-item loop", loop), ("200 hosts x 20 tasks", many)):
        directory = scratch / "job"
        for below in ("project", "inventory"):
            (directory / below).mkdir(parents=True)
        (directory / "inventory" / "hosts").write_text(hosts)
        (directory / "project" / "test.yml").write_text(playbook)
        measure([*OURS, "transmit", str(directory), "-p", "test.yml"], scratch, stdout=scratch / "stream")
        playbook_command = [
            str(BIN / "ansible-playbook"),
            "-i",
            str(directory / "inventory"),
            str(directory / "project" / "test.yml"),
        ]
        in_terminal = ["script", "-qec", " ".join(playbook_command), "/dev/null"]
        bare, ours, theirs = best(
            3,
            partial(measure, in_terminal, scratch),
            partial(measure, [*OURS, "worker"], scratch, stdin=scratch / "stream", stdout=scratch / "ours"),
            partial(measure, [*THEIRS, "worker"], scratch, stdin=scratch / "stream", stdout=scratch / "theirs"),
        )
        report(f"worker: {name}", ours, theirs)
        added = [Measured(max(0.0, m.wall - bare.wall), max(0.0, m.cpu - bare.cpu), m.peak) for m in (ours, theirs)]
        report(f"worker: added to ansible-playbook ({bare.cpu:.1f} s)", *added)
        shutil.rmtree(directory)


def over_mesh(scratch: Path) -> None:
    mesh(scratch, OURS[0], THEIRS[0])


def large_payload(scratch: Path) -> None:
    payload(scratch, OURS[0], THEIRS[0])


def nodes(scratch: Path) -> None:
    many_nodes(scratch, OURS[0])


def local_run(scratch: Path) -> None:
    local(scratch, OURS[0], THEIRS[0], str(BIN / "ansible-playbook"))


PARTS = {
    "start": start,
    "run": local_run,
    "transmit": transmit,
    "process": process,
    "controllers": for_controllers,
    "worker": worker,
    "mesh": over_mesh,
    "pages": pages,
    "payload": large_payload,
    "nodes": nodes,
}


def main() -> None:
    os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
    print(f"{'':42} {'ours, theirs, ratio':^30}")
    for part in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            PARTS[part](Path(scratch))


if __name__ == "__main__":
    main()
