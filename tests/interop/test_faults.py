"""What cannot run, and what lost its beginning, through any mixture of stages: it ends, and our process stage says
how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.mixtures import MIXTURES, SUCCESS, Stage
from tests.support.private_data import DirFactory
from tests.support.streams import events_of, stream_lines

pytestmark = pytest.mark.slow

OURS = [sys.executable, "-m", "receptor_runner"]
MODULES = {"ours": "receptor_runner", "theirs": "ansible_runner"}
#: Parameters, and for our worker and ansible-runner's: the last status, and what our process stage ends with.
#: ansible-runner's worker dies of an argument that is too long, in the middle of its stream.
FAULTS: dict[str, tuple[dict[str, Any], tuple[str, int], tuple[str, int]]] = {
    "missing playbook": ({"playbook": "missing.yml"}, ("failed", 1), ("failed", 1)),
    "missing command": ({"binary": "/nowhere/at-all"}, ("error", 78), ("failed", 1)),
    "long argument": ({"binary": "/bin/echo", "cmdline": "y" * 140_000}, ("error", 78), ("running", 76)),
}


def transmitted(by: str, directory: Path, parameters: dict[str, Any]) -> bytes:
    """From Python: nothing is checked there that Ansible can say."""
    script = (
        f"import {MODULES[by]} as runner, sys\n"
        f"runner.run(streamer='transmit', _output=sys.stdout.buffer, private_data_dir={str(directory)!r}, ident='j', **{parameters!r})"
    )
    done = subprocess.run([sys.executable, "-"], input=script.encode(), stdout=subprocess.PIPE, check=True, timeout=60)
    return done.stdout


def worked(stage: Stage, stream: bytes) -> bytes:
    return subprocess.run([*stage, "worker"], input=stream, capture_output=True, check=False, timeout=90).stdout


def processed(stage: Stage, results: bytes, directory: Path) -> subprocess.CompletedProcess[bytes]:
    words = [*stage, "process", str(directory), "-i", "j"]
    return subprocess.run(words, input=results, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mixture", MIXTURES, ids="-".join)
def test_what_cannot_run_ends_with_the_truth(
    fault: str, mixture: tuple[str, str, str], ansible_runner: Stage, make_dir: DirFactory, tmp_path: Path
) -> None:
    stages = {"ours": OURS, "theirs": ansible_runner}
    sender, worker, receiver = mixture
    parameters, *ends = FAULTS[fault]
    status, code = ends[worker == "theirs"]
    results = worked(stages[worker], transmitted(sender, make_dir(SUCCESS), parameters))
    assert [line["status"] for line in stream_lines(results) if "status" in line][-1] == status
    done = processed(stages[receiver], results, tmp_path / "out")
    assert done.returncode == (code if receiver == "ours" else 0)
    artifacts = tmp_path / "out" / "artifacts" / "j"
    if receiver == "ours" or status == "failed":
        assert (artifacts / "status").read_text() == ("error" if status == "running" else status)
    if fault == "missing playbook":
        assert "missing.yml could not be found" in (artifacts / "stdout").read_text()
        assert b"missing.yml could not be found" in done.stdout


@pytest.mark.parametrize("worker", ["ours", "theirs"])
@pytest.mark.parametrize("sender", ["ours", "theirs"])
def test_a_stream_that_lost_its_beginning_keeps_its_verdict(
    sender: str, worker: str, ansible_runner: Stage, make_dir: DirFactory, tmp_path: Path
) -> None:
    stages = {"ours": OURS, "theirs": ansible_runner}
    results = worked(stages[worker], transmitted(sender, make_dir(SUCCESS), {"playbook": "test.yml"}))
    whole = processed(OURS, results, tmp_path / "whole")
    assert (whole.returncode, whole.stderr) == (0, b"")
    begin = results.index(b'"runner_on_start"') + 10
    done = processed(OURS, results[begin:], tmp_path / "cut")
    there, missing = (
        len(events_of(tmp_path / "cut" / "artifacts" / "j")),
        len(events_of(tmp_path / "whole" / "artifacts" / "j")),
    )
    assert done.returncode == 0
    assert 0 < there < missing
    assert f"{missing - there} events of the job did not arrive" in done.stderr.decode()
    assert (tmp_path / "cut" / "artifacts" / "j" / "rc").read_text() == "0"
