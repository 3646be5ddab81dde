"""From words to what a command gets: options, variables, the log, and who a worker's errors are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from receptor_runner.cli.job_options import JobOptions, job_options
from receptor_runner.cli.main import cli
from receptor_runner.cli.mesh_options import RouteOptions, SocketOptions, route_options, socket_options
from receptor_runner.cli.options import LimitOptions, limit_options
from receptor_runner.limits import StreamLimits
from receptor_runner.stream.codec import END_OF_STREAM
from tests.support.commands import ours
from tests.support.private_data import DirFactory, tasks


def job_of(*words: str) -> JobOptions:
    found: list[JobOptions] = []

    @click.command()
    @job_options
    def command(what: JobOptions) -> None:
        found.append(what)

    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


def test_what_is_not_given_is_no_parameter(make_dir: DirFactory) -> None:
    parameters = job_of("-p", "test.yml", "-i", "j").parameters(str(make_dir()))
    assert parameters.pop("private_data_dir")
    assert parameters == {"playbook": "test.yml", "ident": "j"}


def test_options_have_the_names_and_forms_of_parameters(make_dir: DirFactory) -> None:
    words = [
        "-m",
        "command",
        "-a",
        "echo hi",
        "--hosts",
        "all",
        "-vv",
        "--container-image",
        "i",
        "--container-option=-x",
    ]
    words += ["--container-option", "--network=none", "--omit-env-files", "-e", "a=1 b='x y'", "-e", '{"c": [2]}']
    parameters = job_of(*words).parameters(str(make_dir()))
    assert parameters["host_pattern"] == "all"
    assert "hosts" not in parameters
    assert parameters["verbosity"] == 2
    assert parameters["container_options"] == ["-x", "--network=none"]
    assert parameters["process_isolation"] is True
    assert parameters["suppress_env_files"] is True
    assert job_of(*words).extra_vars == ("a=1 b='x y'", '{"c": [2]}')


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "-p option must be specified"),
        (["-p", "x", "-m", "ping"], "give one of --playbook, --module, not 2"),
        (["-p", "x", "--hosts", "all"], "--hosts option can only be used with -m or -r"),
        (["-p", "x", "-i", __file__], "did you mean --inventory"),
        (["-p", "x", "-i", "a/b"], "cannot be the name of a directory"),
        (["-r", "x", "--role-vars", "nonsense"], "is not name=value"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(words: list[str], text: str, make_dir: DirFactory) -> None:
    with pytest.raises(click.UsageError, match=text):
        job_of(*words).parameters(str(make_dir()))


def test_options_have_variables_of_ours_receptorctls_and_ansible_runners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEPTORCTL_SOCKET", "/theirs")
    monkeypatch.setenv("RECEPTOR_RUNNER_NODE", "exec1")
    monkeypatch.setenv("RUNNER_PLAYBOOK", "test.yml")
    found: list[Any] = []

    @click.command()
    @socket_options
    @route_options
    @limit_options
    def command(at: SocketOptions, to: RouteOptions, limits: LimitOptions) -> None:
        found.extend((at, to, limits))

    CliRunner().invoke(command, ["--max-line", "100"], standalone_mode=False, catch_exceptions=False)
    at, to, limits = found
    assert (at.socket, at.given, to.node, to.signwork) == ("/theirs", True, "exec1", None)
    assert limits.stream_limits() == StreamLimits()._replace(line=100)
    assert job_of().playbook == "test.yml"
    monkeypatch.setenv("RECEPTOR_RUNNER_SOCKET", "/ours")
    CliRunner().invoke(command, [], standalone_mode=False, catch_exceptions=False)
    assert found[3].socket == "/ours"


def test_every_command_has_help_that_needs_no_daemon() -> None:
    with click.Context(cli) as context:
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            assert command.get_short_help_str(), name
            result = CliRunner().invoke(cli, [name, "--help"])
            assert (result.exit_code, "Usage:" in result.output) == (0, True), name


@pytest.mark.parametrize(
    "words",
    [
        ["--private-data-dir", "cleanup", "--keepalive-seconds", "-1"],
        ["--private-data-dir", "probe", "--delete", "--nonsense"],
        ["--delete"],
    ],
)
def test_a_workers_usage_error_is_told_in_its_stream_whatever_a_value_is_called(words: list[str]) -> None:
    done = ours("worker", *words, input=b"")
    assert (done.returncode, done.stderr) == (64, b"")
    assert done.stdout.endswith(END_OF_STREAM)
    assert json.loads(done.stdout.splitlines()[0])["status"] == "error"


@pytest.mark.parametrize(
    "words", [["cleanup", "--nonsense"], ["--worker-info", "--nonsense"], ["probe"], ["cleanup", "--file-pattern", "x"]]
)
def test_what_controllers_ask_a_worker_besides_a_job_fails_on_standard_error(words: list[str]) -> None:
    done = ours("worker", *words, input=b"")
    assert done.returncode == 64
    assert done.stdout == b""
    assert done.stderr.startswith(b"receptor-runner: ")


def test_a_log_option_is_no_value_of_another_option(make_dir: DirFactory, tmp_path: Path) -> None:
    """It was searched for among the words; a value could turn the log on."""
    directory = make_dir(tasks("debug: {msg: hi}"))
    log = tmp_path / "log"
    done = ours("transmit", directory, "-p", "test.yml", "--limit=--debug", "--inventory", f"--log-file={log}")
    assert done.returncode == 66
    assert not log.exists()
    done = ours("transmit", directory, "-p", "test.yml", f"--log-file={log}", "--exclude", "x")
    assert (done.returncode, log.exists()) == (0, True)


def test_a_log_file_that_cannot_be_written_is_a_usage_error(make_dir: DirFactory, tmp_path: Path) -> None:
    done = ours("transmit", make_dir(), "-p", "test.yml", "--log-file", tmp_path / "no" / "log")
    assert (done.returncode, done.stdout) == (64, b"")
    assert b"cannot write the log file" in done.stderr


def test_the_hint_of_an_error_is_shown_behind_it() -> None:
    done = ours("attach", "nobody")
    assert done.stderr == b"receptor-runner: there is no job nobody; receptor-runner jobs lists those there are\n"
