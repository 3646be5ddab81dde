"""The same calls made to ansible_runner and to us: the same callbacks, in the same order, with the same in them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import receptor_runner
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ansible_runner

MODULES: dict[str, ModuleType] = {"theirs": ansible_runner, "ours": receptor_runner}
UNREACHABLE = "gone ansible_host=127.0.0.1 ansible_port=1\n"


class Recorder:
    """Every call, as what can be compared: paths relative, no times, no ids."""

    def __init__(self, directory: Path) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._directory = directory

    def event(self, data: dict[str, Any]) -> bool:
        detail = data.get("event_data") or {}
        self.calls.append(("event", data["counter"], data["event"], detail.get("task"), detail.get("host")))
        data["mine"] = True
        return bool(data["event"] != "playbook_on_play_start")

    def status(self, data: dict[str, Any], runner_config: Any) -> None:
        config = runner_config
        told = (type(config.env), type(config.command), type(config.cwd)) if data["status"] == "starting" else ()
        self.calls.append(("status", data["status"], *told))

    def artifacts(self, directory: str) -> None:
        place = os.path.relpath(os.path.realpath(directory), self._directory)
        self.calls.append(("artifacts", place, Path(directory, "rc").read_text()))

    def finished(self, result: Any) -> None:
        self.calls.append(("finished", result.status))

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "event_handler": self.event,
            "status_handler": self.status,
            "artifacts_handler": self.artifacts,
            "finished_callback": self.finished,
        }


def piped(module: ModuleType, directory: Path, to: Path, parameters: dict[str, Any]) -> tuple[Recorder, Any, list[str]]:
    """The three stages one after the other; one dictionary of parameters for the first and the last, as a controller
    has it. The result, and the names of the event files.
    """
    recorder = Recorder(to)
    all_of_it = {"private_data_dir": str(directory), "ident": 7, "quiet": True, **parameters, **recorder.handlers()}
    to.mkdir()
    with open(to / "job", "w+b") as job, open(to / "results", "w+b") as results:
        module.interface.run(streamer="transmit", _output=job, **all_of_it)
        job.seek(0)
        there = str(to / "there")
        module.interface.run(streamer="worker", _input=job, _output=results, private_data_dir=there)
        results.seek(0)
        all_of_it["private_data_dir"] = str(to)
        outcome = module.interface.run(streamer="process", _input=results, **all_of_it)
    return recorder, outcome, event_files(to / "artifacts" / "7")


def event_files(artifacts: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (artifacts / "job_events").glob("*.json"))


def here(module: ModuleType, directory: Path, to: Path, parameters: dict[str, Any]) -> tuple[Recorder, Any, list[str]]:
    recorder = Recorder(directory)
    outcome = module.interface.run(
        private_data_dir=str(directory), ident=7, quiet=True, **parameters, **recorder.handlers()
    )
    return recorder, outcome, event_files(directory / "artifacts" / "7")


MIXED = tasks(
    "name: say\ndebug: {msg: hello}",
    "name: loop\ncommand: echo {{ item }}\nloop: [1, 2]",
    "name: skip\ndebug: {msg: no}\nwhen: false",
    "name: ignore\ncommand: /bin/false\nignore_errors: true",
)
JOBS: dict[str, tuple[str | None, dict[str, Any], dict[str, str]]] = {
    "successful": (MIXED, {"playbook": "test.yml"}, {}),
    "failed": (tasks("name: fall\ncommand: /bin/false"), {"playbook": "test.yml"}, {}),
    "unreachable": (tasks("name: reach\nping:"), {"playbook": "test.yml"}, {"inventory": UNREACHABLE}),
    "syntax error": ("not a playbook", {"playbook": "test.yml"}, {}),
    "ad hoc": (None, {"module": "command", "module_args": "echo hi", "host_pattern": "all"}, {}),
    "raw arguments": (None, {}, {"args": "ansible-inventory -i inventory/hosts --list"}),
    "timeout": (tasks("command: sleep 30"), {"playbook": "test.yml", "timeout": 2}, {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", [piped, here])
@pytest.mark.parametrize("name", JOBS)
def test_the_same_calls_have_the_same_callbacks(
    name: str, way: Callable[..., tuple[Recorder, Any, list[str]]], make_dir: DirFactory, tmp_path: Path
) -> None:
    playbook, parameters, files = JOBS[name]
    calls, outcomes, saved = {}, {}, {}
    for who, module in MODULES.items():
        directory = make_dir(playbook, name=who, **files)
        recorder, outcome, saved[who] = way(module, directory, tmp_path / f"{who}-back", parameters)
        cut = name == "timeout"  # how far it came is chance
        calls[who] = [call for call in recorder.calls if not (cut and call[0] == "event")]
        outcomes[who] = outcome.status
    assert calls["ours"] == calls["theirs"]
    assert outcomes["ours"] == outcomes["theirs"]
    assert cut or saved["ours"] == saved["theirs"]
