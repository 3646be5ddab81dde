"""Which of two sources wins: parameters or the files of ``env``."""

from __future__ import annotations

from typing import Any

import pytest

from receptor_runner.errors import ConfigurationError
from receptor_runner.isolation.request import IsolationRequest
from receptor_runner.job.parameters import Parameters, to_wire
from receptor_runner.job.private_data import PrivateDataDir
from receptor_runner.job.resolved import ResolvedJob
from tests.support.private_data import DirFactory


def resolved(make_dir: DirFactory, files: dict[str, str], **parameters: Any) -> ResolvedJob:
    directory = make_dir(**{f"env__{name}": text for name, text in files.items()})
    return ResolvedJob.of(Parameters.from_wire(parameters), PrivateDataDir(directory))


def test_files_win_over_parameters(make_dir: DirFactory) -> None:
    job = resolved(
        make_dir,
        {"envvars": "A: file\n", "passwords": "'P:': file\n", "settings": "{idle_timeout: 3, fact_cache: mine}"},
        envvars={"A": "parameter", "B": "parameter"}, passwords={"P:": "parameter", "Q:": "q"},
        settings={"idle_timeout": 9, "job_timeout": 7}, fact_cache="theirs",
    )  # fmt: skip
    assert job.envvars == {"A": "file", "B": "parameter"}
    assert job.prompts == [("P:", "file"), ("Q:", "q")]
    assert (job.idle_timeout, job.job_timeout, job.fact_cache) == (3.0, 7.0, "mine")


def test_the_parameter_wins_for_the_command_line_and_the_key(make_dir: DirFactory) -> None:
    files = {"cmdline": "--file", "ssh_key": "file"}
    job = resolved(make_dir, files, cmdline="--parameter", ssh_key="parameter")
    assert (job.cmdline, job.ssh_key) == ("--parameter", "parameter")
    job = resolved(make_dir, files)
    assert (job.cmdline, job.ssh_key) == ("--file", "file")


def test_a_timeout_parameter_wins_over_the_setting_of_another_name(make_dir: DirFactory) -> None:
    job = resolved(make_dir, {"settings": "job_timeout: 9"}, timeout=5)
    assert job.job_timeout == 5.0


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("", None), (0, None), ("inf", None), ("2.5", 2.5), (7, 7.0)]
)
def test_a_time_limit_is_a_number_of_seconds_or_none(make_dir: DirFactory, value: Any, seconds: float | None) -> None:
    assert resolved(make_dir, {}, settings={"job_timeout": value}).job_timeout == seconds


@pytest.mark.parametrize("value", ["soon", -1, float("nan"), [5]])
def test_a_time_limit_that_is_none_is_named(make_dir: DirFactory, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="job_timeout must be a number of seconds"):
        resolved(make_dir, {}, settings={"job_timeout": value})


def test_a_setting_turns_off_what_a_parameter_asked_for(make_dir: DirFactory) -> None:
    job = resolved(
        make_dir, {"settings": "{suppress_output_file: true, fact_cache_type: '', process_isolation: false}"},
        process_isolation=True, container_image="i",
    )  # fmt: skip
    assert not job.output_files
    assert job.fact_cache is None
    assert IsolationRequest.of(job).kind == ""


def test_only_what_differs_from_the_default_travels() -> None:
    parameters: dict[str, Any] = {
        "playbook": "x.yml",
        "ident": None,
        "verbosity": None,
        "limit": "",
        "extravars": {},
        "quiet": True,
    }
    assert to_wire(parameters) == {"playbook": "x.yml"}


def test_unknown_parameters_are_told_and_left_out() -> None:
    parameters = Parameters.from_wire({"playbook": "x.yml", "colour": "red", "quiet": True})
    assert parameters.ignored == ["colour"]
    assert "colour" not in parameters.values
