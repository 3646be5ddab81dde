"""One job for many nodes that have nothing of it, over real daemons: what leaves the controller, beside what one of
them lacks.

Rules: a controller and forty executors on this machine, each with a store of its own. A node that is asked alone says
what one lacks. Needs the daemon."""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.nodes import WORKER, Mesh, daemon_binary, star, worktype

NODES = 40
FILES, SIZE = 500, 40_000


def many_nodes(scratch: Path, ours: str) -> None:
    """Prints the comparison. ``ours`` is the command."""
    binary = daemon_binary()
    if binary is None:
        print("nodes: there is no Receptor daemon on PATH or in RECEPTOR_BIN; left out")
        return
    os.environ["XDG_STATE_HOME"] = str(scratch / "state")
    job = _project(scratch / "job")
    names = [f"exec-{number}" for number in range(NODES + 1)]
    work = {name: worktype(params=f"{WORKER} --store {scratch / 'stores' / name}") for name in names}
    with tempfile.TemporaryDirectory(prefix="rrb-", dir="/tmp") as directory:
        mesh = star(Path(directory), binary, work)
        try:
            mesh.start()
            _compare(job, mesh, ours, names)
        finally:
            mesh.stop()


def _project(job: Path) -> Path:
    choose = random.Random(1)
    (job / "project").mkdir(parents=True)
    for number in range(FILES):
        (job / "project" / f"file{number}").write_bytes(choose.randbytes(SIZE))
    return job


def _compare(job: Path, mesh: Mesh, ours: str, names: list[str]) -> None:
    (alone, _), (all_of_them, seconds) = _sent(job, mesh, ours, names[:1]), _sent(job, mesh, ours, names[1:])
    share = all_of_them / NODES / alone
    print(f"bytes to one node: {alone}; to each of {NODES}: {all_of_them / NODES:.0f}, {share:.3f} of that", flush=True)
    again, _ = _sent(job, mesh, ours, names)
    print(f"in {seconds:.1f} s; once more, to each: {again / len(names):.0f} bytes", flush=True)


def _sent(job: Path, mesh: Mesh, ours: str, names: list[str]) -> tuple[int, float]:
    """How many bytes have left for ``names``, and in how many seconds."""
    begun = time.perf_counter()
    words = [ours, "prepare", *names, str(job), *mesh.arguments()]
    done = subprocess.run(words, check=True, capture_output=True, timeout=1800)
    sent = re.findall(rb"^exec-\d+: sent (\d+) bytes", done.stdout, re.MULTILINE)
    assert len(sent) == len(names), done.stdout
    return sum(map(int, sent)), time.perf_counter() - begun
