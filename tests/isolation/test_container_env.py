"""A variable of a job means nothing to the engine, and reaches the job under its own name."""

from __future__ import annotations

import os
import subprocess

import pytest

from receptor_runner.errors import ConfigurationError
from receptor_runner.isolation.container_env import container_environment


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


@pytest.mark.parametrize("name", ["A*", " A", "BASH_FUNC_x%%", "SHELLOPTS"])
def test_a_variable_that_no_shell_can_pass_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be passed to an isolated job"):
        container_environment({name: "x"}, {}, answers=False)
