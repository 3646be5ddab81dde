"""Measures one command: wall time, processor time and peak memory of it and its descendants.

Rules: run as a process of its own (``python measure.py RESULT COMMAND…``), because resource usage of children adds up,
and a child inherits the peak of the process that it was forked from."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """Seconds, seconds, MiB."""

    wall: float
    cpu: float
    peak: float


def measure(command: list[str], scratch: Path, stdin: Path | None = None, stdout: Path | None = None) -> Measured:
    """Runs ``command`` once.

    :raises RuntimeError: it failed.
    """
    result = scratch / "measured.json"
    with open(stdin or "/dev/null", "rb") as source, open(stdout or "/dev/null", "wb") as target:
        done = subprocess.run(
            [sys.executable, __file__, str(result), *command],
            stdin=source,
            stdout=target,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return Measured(*json.loads(result.read_text()))


def main() -> int:
    started = time.perf_counter()
    code = subprocess.call(sys.argv[2:])
    wall = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(sys.argv[1]).write_text(json.dumps([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
    return code


if __name__ == "__main__":
    sys.exit(main())
