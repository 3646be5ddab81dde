"""Measures one command: when it writes, and wall time, processor time and peak memory of it and its descendants.

Rules: processor time and memory are measured by a process of its own (``python measure.py RESULT COMMAND…``), because
resource usage of children adds up, and a child inherits the peak of the process that it was forked from."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple


class Measured(NamedTuple):
    """Seconds, seconds, MiB."""

    wall: float
    cpu: float
    peak: float


class Times(NamedTuple):
    """Seconds: from the start to the first text, from the last text to the end, in all."""

    first: float
    tail: float
    whole: float


def timed(command: list[str], directory: Path | None = None, said: IO[bytes] | int = subprocess.DEVNULL) -> Times:
    """Runs ``command`` once; its output is the job's.

    :param said: gets what it writes to its standard error.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=directory)
    assert process.stdout is not None
    first = last = begun
    with process.stdout as output:
        while os.read(output.fileno(), 65536):
            last = time.perf_counter()
            first = last if first == begun else first
    assert process.wait() == 0, command
    ended = time.perf_counter()
    return Times(first - begun, ended - last, ended - begun)


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
