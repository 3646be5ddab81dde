"""A machine without room, processes or a home: the exit status says so, and no fault of ours is told."""

from __future__ import annotations

import os
import resource
import subprocess

import pytest

from receptor_runner.errors import ConfigurationError, OutputError
from receptor_runner.guard.client import Guard
from receptor_runner.records.state_dir import state_directory
from tests.support.commands import OURS
from tests.support.jobs import job, statuses
from tests.support.permissions import as_nobody
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow

NOBODY = 54321


@pytest.mark.parametrize("stage", ["worker", "transmit"])
def test_no_place_for_temporary_files_is_73(stage: str, make_dir: DirFactory) -> None:
    """As with a full disk, or where all of them are read-only."""
    directory = make_dir(tasks("debug: {msg: hello}"))
    words = ["transmit", str(directory), "-p", "test.yml"] if stage == "transmit" else ["worker"]
    full = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *OURS, *words]
    stream = job(directory) if stage == "worker" else b""
    done = subprocess.run(full, input=stream, capture_output=True, check=False, timeout=60)
    told = done.stderr.decode() if stage == "transmit" else statuses(done.stdout)[-1]["job_explanation"]
    assert done.returncode == 73, told
    assert "temporary" in told
    assert "internal error" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who is in no list")
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def check() -> None:
        with pytest.raises(ConfigurationError, match="no home directory") as caught:
            state_directory()
        assert "XDG_STATE_HOME" in str(caught.value.hint)

    as_nobody(check, NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="the limit counts all processes of a user")
def test_no_process_to_be_had_is_73() -> None:
    def check() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        with pytest.raises(OutputError, match="cannot start a process"):
            Guard()

    as_nobody(check, NOBODY)
