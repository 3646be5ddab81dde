"""A variable of a job means nothing to the engine, and reaches the job under its own name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from receptor_runner.errors import ConfigurationError
from receptor_runner.isolation.container_env import container_environment, hidden_command
from receptor_runner.isolation.engine_errors import did_not_run

#: Ends each line with a NUL, for values have more than one line.
ENV = [shutil.which("env") or "env", "-0"]


def test_a_shell_gives_variables_their_names_back() -> None:
    job = {"HTTP_PROXY": "http://x", "odd": 'a "b" $c', "ANSIBLE_FORKS": "50"}
    variables, words = container_environment(job, {}, answers=False)
    assert "HTTP_PROXY" not in variables
    assert not any(value in word for value in job.values() for word in words), "no value is an argument"
    done = subprocess.run(
        [*words, "env"], env={**variables, "PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert {f"{name}={value}" for name, value in job.items()} <= set(done.stdout.splitlines())
    assert "RECEPTOR_RUNNER_ENV_" not in done.stdout


def test_what_the_engine_has_anyway_does_not_travel() -> None:
    assert container_environment({"LANG": "C"}, {"LANG": "C"}, answers=False) == ({}, [])


def test_a_job_whose_prompts_are_answered_shows_no_typing() -> None:
    _, words = container_environment({}, {}, answers=True)
    assert "stty -echo" in words[2]
    _, _, words = hidden_command(["true"], {}, "/runner/command", answers=True)
    assert "stty -echo" in words[2]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_what_is_hidden_is_in_the_file_alone(shell: str, tmp_path: Path) -> None:
    job = {"odd": "a \"b\" 'c' $d `e` \\\n\tf\udcff", "PATH": "/nowhere", "ANSIBLE_FORKS": "50"}
    argv = [ENV[0], "A=-x 'y' $z", *ENV]
    file = tmp_path / "command"
    content, told, words = hidden_command(argv, {**job, "RECEPTOR_RUNNER_KEY_FILE": "/key"}, str(file), answers=False)
    assert told == {"RECEPTOR_RUNNER_KEY_FILE": "/key"}
    assert not any(text in word for text in (job["odd"], *argv) for word in words)
    file.write_bytes(content)
    done = subprocess.run([shell, *words[1:]], env={"PATH": os.environ["PATH"]}, capture_output=True)
    seen = {f"{name}={value}" for name, value in job.items()} | {"A=-x 'y' $z"}
    assert seen <= set(os.fsdecode(done.stdout).split("\0"))
    assert done.stderr == b""
    assert not file.exists(), "nobody needs it any more"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    _, _, words = hidden_command(["true"], {}, str(tmp_path / "none"), answers=False)
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 126
    assert did_not_run(126, done.stderr, sandbox=False), "it is told as a job that did not start"
    assert str(tmp_path / "none") in done.stderr


@pytest.mark.parametrize("name", ["A*", " A", "BASH_FUNC_x%%", "SHELLOPTS"])
def test_a_variable_that_no_shell_can_pass_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be passed to an isolated job"):
        container_environment({name: "x"}, {}, answers=False)


@pytest.mark.parametrize("name", ["A*", "a.b", "SHELLOPTS", "UID"])
def test_a_variable_that_cannot_be_hidden_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be passed to a sealed job"):
        hidden_command(["true"], {name: "x"}, "/runner/command", answers=False)
