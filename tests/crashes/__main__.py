"""Kills or stops, at random moments, what works on jobs of a mesh, and checks what becomes of each job.

    python -m tests.crashes COUNT [--seed N] [--kind embedded-1.4 --kind embedded-1.5 --kind daemon] [--sealed]

COUNT is the number of blows for all kinds together. A job whose follower, nodes or daemons are hit succeeds, with all
of its events. A job whose worker, guard or runner is killed ends as the table of ``docs/mesh.md`` says. What is stopped
for a while goes on. The artifacts are those that ``process`` makes of the unit's own results. With ``--sealed`` jobs and
results are sealed, and only what the node lacks travels."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.support.commands import OURS, ours
from tests.support.nodes import Mesh, Node, daemon_binary, running
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import guard_of, keeper_of, wait_for
from tests.support.sealed_results import unseal

KINDS = ("embedded-1.4", "embedded-1.5", "daemon")
PLAY = tasks("command: sleep 0.1\nloop: '{{ range(10) | list }}'", "debug: {msg: '{{ \"x\" * 100000 }}'}")
#: Exit statuses of a job that was hit so: the table of docs/mesh.md. One that has just ended is not hit any more.
ENDS: dict[tuple[str, str], tuple[int, ...]] = {
    ("worker", "kill"): (0, 74, 76),
    ("keeper", "kill"): (0, 70),
    ("guard", "kill"): (0, 70),
    ("runner", "kill"): (0, 74, 76),
}
TARGETS = ("follower", "controller", "executor", "worker", "keeper", "guard", "runner")


class Blow(NamedTuple):
    """What is hit, how, and when: seconds after the job was submitted, and how long it stays stopped."""

    target: str
    how: str
    after: float
    lasting: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crashes", description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, help="how many blows")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--sealed", action="store_true", help="seal jobs and results, and send deltas")
    options = parser.parse_args()
    kinds = options.kind or [kind for kind in KINDS if kind != "daemon" or daemon_binary()]
    print(f"seed {options.seed}, {options.count} blows over {', '.join(kinds)}", flush=True)
    failures: list[str] = []
    seen: Counter[tuple[str, str, int]] = Counter()
    chance = random.Random(options.seed)
    os.environ["XDG_STATE_HOME"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="rrs-", dir="/tmp")
    if options.sealed:
        assert ours("worker", "seal-key").returncode == 0
        os.environ["RECEPTOR_RUNNER_DELTA"] = os.environ["RECEPTOR_RUNNER_SEAL_RESULTS"] = "1"
    try:
        for place, kind in enumerate(kinds):
            share = options.count // len(kinds) + (place < options.count % len(kinds))
            failures += _rounds(kind, share, chance, seen)
    finally:
        shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)
    for (target, how, code), number in sorted(seen.items()):
        print(f"{target:10} {how:5} exit {code:3}: {number}")
    print(f"{len(failures)} of {options.count} jobs ended as they must not")
    return 1 if failures else 0


def _rounds(kind: str, count: int, chance: random.Random, seen: Counter[tuple[str, str, int]]) -> list[str]:
    failures = []
    with running(kind) as mesh, tempfile.TemporaryDirectory(prefix="rrc-", dir="/tmp") as top:
        if "RECEPTOR_RUNNER_SEAL_RESULTS" in os.environ:
            ours("trust", "--forget", mesh.executor.name)
            assert ours("trust", mesh.executor.name, *mesh.arguments()).returncode == 0
        for number in range(count):
            target = TARGETS[number % len(TARGETS)]
            how = chance.choice(("kill", "kill", "stop"))
            blow = Blow(target, how, chance.uniform(0.0, 2.2), chance.uniform(0.3, 3.0))
            directory = DirFactory(Path(top))(PLAY, name=f"job{number}")
            try:
                code = _round(mesh, directory, f"{kind[:5]}{kind[-1]}-{number}", blow)
                seen[(target, how, code)] += 1
            except Exception as exc:
                text = f"{kind} {number} {blow}: {type(exc).__name__}: {exc}"
                print(f"FAILED {text}", flush=True)
                failures.append(text)
            shutil.rmtree(directory, ignore_errors=True)
    return failures


def _round(mesh: Mesh, directory: Path, job: str, blow: Blow) -> int:
    """One job and one blow; the exit status of its follower."""
    done = mesh.run("submit", directory, "-p", "test.yml", "-i", job)
    assert done.returncode == 0, done.stderr
    unit = wait_for(mesh.executor.units, "the unit is there")[-1]
    results = directory.with_name(f"{directory.name}.results")
    wait_for((mesh.executor.data / unit / "stdout").exists, "it has results")
    os.link(mesh.executor.data / unit / "stdout", results)
    follower = subprocess.Popen([*OURS, "attach", job, "-q"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(blow.after)
        _strike(mesh, follower, mesh.executor.data / unit, blow)
        code = follower.wait(120)
    finally:
        if follower.poll() is None:
            follower.kill()
            follower.wait()
    while code in (-9, 75):
        code = ours("attach", job, "-q", timeout=120).returncode
    assert code in ENDS.get((blow.target, blow.how), (0,)), f"exit status {code}"
    _check(directory, job, results, code)
    assert ours("release", "--force", job).returncode in (0, 66)
    wait_for(lambda: not mesh.units(), "no unit is left", 30)
    wait_for(lambda: not _working(unit), "nothing works on it", 30)
    return code


def _check(directory: Path, job: str, results: Path, code: int) -> None:
    """The artifacts are whole, and say the same as the exit status."""
    artifacts = directory / "artifacts" / job
    names = sorted((artifacts / "job_events").glob("*.json"), key=lambda path: int(path.name.split("-")[0]))
    counters = [json.loads(path.read_bytes())["counter"] for path in names]
    assert counters == list(range(1, len(counters) + 1)), "an event is missing"
    if code == 0:
        assert (artifacts / "rc").read_text() == "0"
        again = directory.with_name(f"{directory.name}.again")
        unseal(results, job)
        assert ours("process", again, "-q", "--in", results).returncode == 0
        assert _tree(artifacts) == _tree(again / "artifacts"), "the artifacts are not those of the results"
        shutil.rmtree(again)
    else:
        assert json.loads(ours("status", job, "-o", "json").stdout)["exit_code"] == code
    results.unlink()


def _tree(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def _strike(mesh: Mesh, follower: subprocess.Popen[bytes], unit: Path, blow: Blow) -> None:
    """Hits the target, and lets nodes and what was stopped go on after a while."""
    node = {"controller": mesh.controller, "executor": mesh.executor}.get(blow.target)
    if node is not None:
        _strike_node(mesh, node, blow)
        return
    process: psutil.Process | None = None
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(follower.pid) if blow.target == "follower" else _found(unit)[blow.target]()
    if process is None:
        return  # the job has ended
    with contextlib.suppress(psutil.Error):
        if blow.how == "kill":
            process.kill()
            return
        process.suspend()
        time.sleep(blow.lasting)
        process.resume()


def _strike_node(mesh: Mesh, node: Node, blow: Blow) -> None:
    if blow.how == "stop":
        node.signal(signal.SIGSTOP)
        time.sleep(blow.lasting)
        node.signal(signal.SIGCONT)
        return
    node.kill()
    time.sleep(blow.lasting / 4)
    node.start()
    mesh.wait_ready()


def _found(unit: Path) -> dict[str, Callable[[], psutil.Process]]:
    def worker() -> psutil.Process:
        return next(one for one in _working(unit.name, str(unit / "stdin")) if "worker" in one.cmdline())

    return {
        "worker": worker,
        "runner": lambda: psutil.Process(worker().ppid()),
        "keeper": lambda: keeper_of(worker().pid),
        "guard": lambda: guard_of(worker().pid),
    }


def _working(unit: str, stdin: str = "") -> list[psutil.Process]:
    """The processes that have the unit's input, or its directory among their words."""
    return list(_each_working(unit, stdin))


def _each_working(unit: str, stdin: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                opened = os.readlink(f"/proc/{process.pid}/fd/0")
                if opened == stdin or (not stdin and any(f"/{unit}" in word for word in process.cmdline())):
                    yield process


if __name__ == "__main__":
    sys.exit(main())
