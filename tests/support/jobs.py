"""Takes a job through single stages."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import receptor_runner
from receptor_runner.stream.codec import END_OF_STREAM
from tests.support.commands import OURS, ours
from tests.support.processes import wait_for
from tests.support.streams import stream_lines

#: Those of one test.
_started: list[subprocess.Popen[bytes]] = []


def job(directory: Path, **parameters: Any) -> bytes:
    """A stream for ``directory``."""
    output = io.BytesIO()
    parameters.setdefault("playbook", "test.yml")
    parameters.setdefault("ident", "job")
    receptor_runner.run(streamer="transmit", _output=output, private_data_dir=directory, **parameters)
    return output.getvalue()


def work(stream: bytes, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    done = ours("worker", *arguments, input=stream, **options)
    assert done.stderr == b""
    assert done.stdout.endswith(END_OF_STREAM)
    return done


def statuses(stream: bytes) -> list[dict[str, Any]]:
    return [line for line in stream_lines(stream) if "status" in line]


def processed(stream: bytes, directory: Path) -> Path:
    """The artifacts of a worker's stream."""
    assert ours("process", directory, "-q", "--exit-zero", input=stream).returncode == 0
    return directory / "artifacts"


def start(stream: bytes, *arguments: str, results: Path, started_by: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    with results.open("wb") as output:
        worker = subprocess.Popen([*started_by, *OURS, "worker", *arguments], stdin=subprocess.PIPE, stdout=output)
    _started.append(worker)
    assert worker.stdin is not None
    worker.stdin.write(stream)
    worker.stdin.close()
    return worker


def end_started() -> None:
    """A test that failed may have left a worker, which the next one would find."""
    for worker in _started:
        worker.kill()
        worker.wait()
    _started.clear()


def wait_running(results: Path) -> None:
    wait_for(lambda: b"runner_on_start" in results.read_bytes(), "the task is running")


def last_status(results: Path) -> str:
    return str([line for line in stream_lines(results.read_bytes()) if "status" in line][-1]["status"])
