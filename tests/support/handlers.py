"""Handlers that write down what they are called with."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Calls:
    """Handlers that write down what they are called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def event_handler(self, data: dict[str, Any]) -> bool:
        self.calls.append(("event", data["counter"]))
        return True

    def status_handler(self, data: dict[str, Any], runner_config: Any) -> None:
        self.calls.append(("status", data["status"]))
        self.config = runner_config

    def artifacts_handler(self, directory: str) -> None:
        assert Path(directory, "rc").read_text()
        self.calls.append(("artifacts", directory))

    def finished_callback(self, result: Any) -> None:
        self.calls.append(("finished", result.status))

    def handlers(self) -> dict[str, Any]:
        names = ("event_handler", "status_handler", "artifacts_handler", "finished_callback")
        return {name: getattr(self, name) for name in names}
