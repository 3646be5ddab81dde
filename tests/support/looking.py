"""Looks into jobs, and waits for what is seen there."""

from __future__ import annotations

import json
from typing import Any

from tests.support.commands import ours
from tests.support.processes import wait_for

__all__ = ["inspected", "wait_runs"]


def inspected(*words: str) -> dict[str, Any]:
    done = ours("inspect", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_runs(job: str, **wanted: str) -> dict[str, Any]:
    """What ``inspect`` says, once each host works on its task and has processes for it."""
    last: dict[str, Any] = {}

    def look() -> dict[str, Any] | None:
        last.update(inspected(job))
        tasks = {one["host"]: one["task"] for one in last["running"] if len(one["pids"]) > 1 and one["path"]}
        return last if tasks == wanted else None

    try:
        found: dict[str, Any] = wait_for(look, f"{job} runs {wanted}")
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{last}\n{ours('logs', job).stdout.decode()}") from exc
    return found
