"""Reads streams and artifacts, and makes a worker's stream by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from receptor_runner.stream.codec import END_OF_STREAM, encode, encode_archive
from tests.support.archives import FILE, zip_of


def stream_lines(stream: bytes) -> list[dict[str, Any]]:
    """The JSON lines of a stream, without archives."""
    lines = []
    for line in stream.split(b"\n"):
        try:
            lines.append(json.loads(line))
        except ValueError:
            end = line.rfind(b"{")
            if end > 0:
                lines.append(json.loads(line[end:]))
    return lines


def events_of(artifacts: Path) -> list[dict[str, Any]]:
    """The event files of an artifact directory, in order."""
    found = [json.loads(path.read_bytes()) for path in (artifacts / "job_events").glob("*.json")]
    return sorted(found, key=lambda event: event["counter"])


STARTING = encode(
    {"status": "starting", "runner_ident": "j", "command": ["ansible-playbook"], "env": {"A": "1"}, "cwd": "/x"}
)


RUNNING = encode({"status": "running", "runner_ident": "j"})


def event(counter: Any, identifier: Any = "u", **fields: Any) -> bytes:
    data = {
        "counter": counter,
        "uuid": identifier,
        "stdout": f"text {counter}",
        "start_line": 0,
        "end_line": 1,
        "event": "verbose",
    }
    return encode({**data, **fields})


def archive(*members: tuple[str, int, bytes]) -> bytes:
    data = zip_of(*members)
    return b"".join(encode_archive(len(data), hashlib.sha256(data).hexdigest(), [data]))


def final(status: str, **extension: Any) -> bytes:
    return encode({"status": status, "runner_ident": "j", **({"receptor_runner": extension} if extension else {})})


def results(status: str = "successful", rc: int = 0, events: int = 3, **extension: Any) -> bytes:
    """A worker's whole stream."""
    extension.setdefault("events", events)
    return _stream(status, rc, events, final(status, **extension))


def foreign_results(status: str, rc: int, events: int) -> bytes:
    """The same as a worker of ansible-runner sends it: the return code is in the artifacts alone."""
    return _stream(status, rc, events, final(status))


def _stream(status: str, rc: int, events: int, end: bytes) -> bytes:
    body = b"".join(event(number, f"u{number}") for number in range(1, events + 1))
    files = archive(("rc", FILE, str(rc).encode()), ("status", FILE, status.encode()), ("stdout", FILE, b"out"))
    return STARTING + RUNNING + body + end + files + END_OF_STREAM
