"""The commands as a person meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import OURS, ours
from tests.support.jobs import job, work
from tests.support.nodes import running
from tests.support.private_data import DirFactory, tasks
from tests.support.streams import events_of

STAGES = ("transmit", "worker", "process", "run")


def test_the_command_tells_its_version_and_its_help() -> None:
    assert ours("--version").stdout.startswith(b"receptor-runner 0.")
    assert ours("--help").returncode == 0
    for command in STAGES:
        assert f"receptor-runner {command}".encode() in ours(command, "--help").stdout
    assert ours("nonsense").returncode == 64


@pytest.mark.parametrize("command", STAGES)
def test_a_stage_does_not_import_the_mesh_client(command: str, make_dir: DirFactory) -> None:
    """Commands start fast: receptorctl and what it brings is for those who need it."""
    modules = [
        "stages.transmit",
        "stages.worker",
        "stages.process",
        "interface",
        "guard.main",
        "cli.transmit",
        "cli.process",
        "cli.worker",
    ]
    script = f"import sys, importlib\nfor m in {modules}: importlib.import_module('receptor_runner.' + m)\nprint('receptorctl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("playbook", "code"),
    [
        (tasks("debug: {msg: hi}"), 0),
        (tasks("command: /bin/false"), 2),
        ("- hosts: all\n  tasks: [{nonsense: }]\n", 4),
        ("not a playbook", 4),
    ],
)
def test_run_exits_as_the_job_did(playbook: str, code: int, make_dir: DirFactory, no_leftovers: Path) -> None:
    directory = make_dir(playbook)
    done = ours("run", directory, "-p", "test.yml", "-i", "j")
    assert done.returncode == code
    assert (directory / "artifacts" / "j" / "rc").read_text() == str(code)
    assert ours("run", directory, "-p", "test.yml", "-q", "--exit-zero").returncode == 0


@pytest.mark.parametrize(
    ("stage", "code"),
    [("transmit {} -p test.yml >&-", 73), ("worker >&- </dev/null", 73), ("worker <&-", 76), ("process {} <&-", 76)],
)
def test_closed_standard_descriptors_are_no_surprise(stage: str, code: int, make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    line = f"{sys.executable} -m receptor_runner {stage.format(directory)}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=90, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_without_standard_output_artifacts_are_saved(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    line = f"{sys.executable} -m receptor_runner run {directory} -p test.yml -i j >&-"
    assert subprocess.run(["sh", "-c", line], timeout=60, check=False).returncode == 0
    assert (directory / "artifacts" / "j" / "rc").read_text() == "0"


@pytest.mark.slow
def test_run_prints_like_ansible_and_counts_like_it(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    done = ours("run", directory, "-p", "test.yml")
    assert b"PLAY RECAP" in done.stdout
    assert done.stderr == b""
    lines = [json.loads(line) for line in ours("run", directory, "-p", "test.yml", "-j").stdout.splitlines()]
    assert [line["counter"] for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.slow
def test_run_keeps_artifacts_by_ident_and_does_not_send_old_ones(make_dir: DirFactory) -> None:
    seen = "{{ lookup('pipe', 'ls -d ' + playbook_dir + '/../artifacts/*') }}"
    directory = make_dir(tasks(f'debug: {{msg: "{seen}"}}'), artifacts__old__stdout="x")
    ours("run", directory, "-p", "test.yml", "-i", "new", "--copy")
    assert (directory / "artifacts" / "old" / "stdout").exists()
    text = json.dumps([event.get("stdout") for event in events_of(directory / "artifacts" / "new")])
    assert "artifacts/new" in text
    assert "artifacts/old" not in text


@pytest.mark.slow
def test_run_of_a_role_in_the_private_data_dir(make_dir: DirFactory) -> None:
    directory = make_dir(roles__greet__tasks__main="")
    (directory / "roles" / "greet" / "tasks" / "main.yml").write_text("- debug: {msg: 'greeting {{ name }}'}\n")
    done = ours("run", directory, "-r", "greet", "--hosts", "all", "--role-vars", "name=you", "--role-skip-facts")
    assert done.returncode == 0, done.stdout
    assert b"greeting you" in done.stdout


@pytest.mark.slow
def test_the_log_goes_where_it_is_told(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    assert ours("run", directory, "-p", "test.yml", "-q", "--log-file", tmp_path / "log", "--debug").returncode == 0
    assert (tmp_path / "log").exists()
    assert ours("run", directory, "-p", "test.yml", "--log-file", tmp_path / "no" / "log").returncode == 64


@pytest.mark.slow
def test_options_come_from_variables_but_not_for_a_worker(
    make_dir: DirFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    monkeypatch.setenv("RECEPTOR_RUNNER_PLAYBOOK", "test.yml")
    monkeypatch.setenv("RECEPTOR_RUNNER_IDENT", "from-the-environment")
    monkeypatch.setenv("RECEPTOR_RUNNER_PRIVATE_DATA_DIR", str(directory / "must-not-be"))
    assert ours("run", directory, "-q").returncode == 0
    assert (directory / "artifacts" / "from-the-environment" / "rc").exists()
    assert not (directory / "must-not-be").exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "-j"])
def test_output_that_cannot_be_printed_is_told(options: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    (tmp_path / "results").write_bytes(work(job(directory)).stdout)
    for command in (f"run {directory} -p test.yml -i j", f"process {tmp_path}/x --in {tmp_path}/results"):
        line = f"{' '.join(OURS)} {command} {options} >/dev/full"
        done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=90, check=False)
        assert done.returncode == 73, line
        assert done.stderr == (
            b"receptor-runner: cannot write to standard output: No space left on device; the artifacts have all of it\n"
        )
    assert (directory / "artifacts" / "j" / "rc").read_text() == "0"


@pytest.mark.parametrize("words", [["jobs"], ["jobs", "-o", "json"], ["worktype", "print"]])
def test_what_cannot_be_printed_is_73(words: list[str]) -> None:
    command = " ".join([*OURS, *words])
    for redirection in (">&-", ">/dev/full"):
        done = subprocess.run(["bash", "-c", f"{command} {redirection}"], capture_output=True, timeout=90, check=False)
        assert done.returncode == 73, redirection
        assert done.stderr.splitlines()[-1].startswith(b"receptor-runner: ")


@pytest.mark.slow
def test_debug_tells_each_step_decision_and_connection(make_dir: DirFactory) -> None:
    with running("embedded-1.4") as mesh:
        done = mesh.run("run", make_dir(tasks("debug: {msg: hi}")), "-p", "test.yml", "-q", "--debug", "-i", "j")
    said = done.stderr.decode()
    assert done.returncode == 0
    for step in (
        f"connected to {mesh.controller.socket}, node {mesh.executor.name}",
        f"the node {mesh.executor.name} is ours; its worktypes: {{'receptor-runner': False",
        "the job goes to Route(",
        "the work unit is ",
        "parameters that travel: ['ident', 'playbook']; archive of ",
        "bytes are sent; waiting for the node's answer",
        "from byte 0 on",
        "status: running",
        "the artifacts are in ",
        "the job j has ended: Verdict(state='successful'",
        "is released",
    ):
        assert step in said, step
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "meant"), [(["jbos"], "Did you mean jobs?"), (["worktype", "prnt"], "Did you mean print?")]
)
def test_a_command_that_is_none_gets_a_guess(words: list[str], meant: str) -> None:
    done = ours(*words)
    assert done.returncode == 64
    assert meant.encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("group", ["config", "worktype"])
def test_a_group_alone_shows_its_help(group: str) -> None:
    done = ours(group)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == ours(group, "--help").stdout
