"""The Python API in ``ansible_runner``'s shape: local runs, threads, results."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

import receptor_runner
from receptor_runner.errors import ConfigurationError, InputError, UsageError, WaitTimeoutError
from receptor_runner.stream.codec import END_OF_STREAM, encode
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import processes_with, wait_for
from tests.support.streams import events_of

pytestmark = pytest.mark.slow

PLAY = tasks("debug: {msg: hello}", "set_fact: {mine: 1, cacheable: true}")


def test_a_local_run_offers_what_ansible_runners_does(
    make_dir: DirFactory, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    seen: list[str] = []

    def see(event: dict[str, Any]) -> bool:
        seen.append(event["event"])
        return True

    runner = receptor_runner.run(
        private_data_dir=make_dir(PLAY), playbook="test.yml", ident="j", quiet=True,
        event_handler=see,
        status_handler=lambda data, runner_config: seen.append(data["status"]),
        artifacts_handler=lambda directory: seen.append("artifacts"),
        finished_callback=lambda result: seen.append("finished"),
    )  # fmt: skip
    assert (runner.status, runner.rc, runner.exit_code) == ("successful", 0, 0)
    assert seen[:2] == ["starting", "running"]
    assert seen[-3:] == ["successful", "artifacts", "finished"]
    events = list(runner.events)
    assert [event["event"] for event in events] == seen[2:-3]
    assert runner.stats["ok"] == {"localhost": 2}
    assert {event["event"] for event in runner.host_events("localhost")} == {"runner_on_start", "runner_on_ok"}
    with runner.stdout as output:
        assert "hello" in output.read()
    with runner.stderr as output:
        assert output.read() == ""
    assert runner.get_fact_cache("localhost")["mine"] == 1
    assert runner.get_fact_cache("nobody") == {}
    assert capfdbinary.readouterr() == (b"", b"")


def test_a_local_run_prints_the_jobs_output_unless_quiet(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    script = f"import receptor_runner; receptor_runner.run(private_data_dir={str(directory)!r}, playbook='test.yml')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b'"msg": "hello"' in done.stdout
    assert done.stderr == b""
    (directory / "env").mkdir()
    (directory / "env" / "settings").write_text('{"suppress_ansible_output": true}')
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b""


def test_a_directory_of_the_users_keeps_its_files_and_nothing_of_ours(make_dir: DirFactory) -> None:
    directory = make_dir()
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"debug": {"msg": "{{ a }}"}}]}]
    runner = receptor_runner.run(
        private_data_dir=directory,
        playbook=play,
        inventory="web ansible_connection=local",
        extravars={"a": 1},
        quiet=True,
    )
    assert runner.stats["ok"] == {"web": 1}
    left = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if "artifacts/" not in str(path))
    assert left == ["artifacts", "inventory", "inventory/hosts", "project"]
    assert "localhost" in (directory / "inventory" / "hosts").read_text()


def test_a_local_run_works_outside_of_the_main_thread_and_can_be_cancelled(
    make_dir: DirFactory, no_leftovers: Path
) -> None:
    stop = threading.Event()
    thread, runner = receptor_runner.run_async(
        private_data_dir=make_dir(tasks("command: sleep 60")),
        playbook="test.yml",
        quiet=True,
        cancel_callback=stop.is_set,
    )
    wait_for(
        lambda: runner.status == "running" and any(e["event"] == "runner_on_start" for e in runner.events),
        "the task is running",
    )
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert (runner.status, runner.rc, runner.canceled) == ("canceled", 254, True)


def test_the_three_stages_in_threads_with_pipes_between(make_dir: DirFactory) -> None:
    import os

    read_job, write_job = os.pipe()
    read_results, write_results = os.pipe()
    directory = make_dir(PLAY)
    parameters: dict[str, Any] = {"private_data_dir": directory, "playbook": "test.yml", "ident": 5, "quite": True}

    def transmit() -> None:
        with os.fdopen(write_job, "wb") as output:
            receptor_runner.interface.run(streamer="transmit", _output=output, **parameters)

    def work() -> None:
        with os.fdopen(read_job, "rb") as source, os.fdopen(write_results, "wb") as output:
            receptor_runner.interface.run(streamer="worker", _input=source, _output=output)

    threads = [threading.Thread(target=transmit), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    with os.fdopen(read_results, "rb") as source:
        result = receptor_runner.interface.run(streamer="process", _input=source, quiet=True, **parameters)
    for thread in threads:
        thread.join(60)
    assert (result.status, result.rc) == ("successful", 0)
    assert events_of(directory / "artifacts" / "5")[-1]["event"] == "playbook_on_stats"


def test_a_worker_in_this_process_is_cancelled_by_its_callback(make_dir: DirFactory, no_leftovers: Path) -> None:
    job, results = io.BytesIO(), io.BytesIO()
    receptor_runner.run(
        streamer="transmit", _output=job, private_data_dir=make_dir(tasks("command: sleep 60")), playbook="test.yml"
    )
    job.seek(0)
    worker = receptor_runner.run(
        streamer="worker", _input=job, _output=results, cancel_callback=lambda: b"runner_on_start" in results.getvalue()
    )
    assert (worker.status, worker.rc) == ("canceled", 254)
    assert results.getvalue().endswith(b'{"eof": true}\n')


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"playbook": "test.yml", "inventory": "/nowhere/hosts"}, 66, "the inventory /nowhere/hosts does not exist"),
        ({}, 78, "Runner playbook required"),
        ({"binary": "/nowhere/ansible"}, 78, "was not found or was not executable"),
        ({"playbook": "test.yml", "settings": {"idle_timeout": "soon"}}, 78, "idle_timeout must be a number"),
    ],
)
@pytest.mark.parametrize("how", ["local", "streamed"])
def test_a_job_that_cannot_begin_says_why(
    how: str, parameters: dict[str, Any], code: int, words: str, make_dir: DirFactory,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:  # fmt: skip
    directory = make_dir(PLAY)
    statuses: list[dict[str, Any]] = []

    def note(data: dict[str, Any], runner_config: Any) -> None:
        statuses.append(data)

    if how == "local":
        result = receptor_runner.run(private_data_dir=directory, ident="j", status_handler=note, **parameters)
    else:
        sent, results = io.BytesIO(), io.BytesIO()
        kwargs = {"kwargs": {"ident": "j", **parameters}}
        sent.write(encode(kwargs) + END_OF_STREAM)
        sent.seek(0)
        receptor_runner.run(streamer="worker", _input=sent, _output=results)
        results.seek(0)
        result = receptor_runner.run(
            streamer="process", _input=results, private_data_dir=directory, ident="j", status_handler=note
        )
    assert (result.status, result.exit_code) == ("error", code)
    assert words in result.explanation == result.job_explanation
    assert "Traceback" in result.traceback == result.result_traceback
    assert statuses[-1]["job_explanation"] == result.explanation
    said = capfdbinary.readouterr().err.decode()
    assert words in said
    assert said.count("\n") == 1
    artifacts = directory / "artifacts" / "j"
    assert (artifacts / "status").read_text() == "error"
    assert (artifacts / "rc").read_text() == str(code)
    assert words in (artifacts / "stdout").read_text()
    if how == "local":
        assert result.rc == code
        with result.stdout as output:
            assert words in output.read()
        with result.stderr as output:
            assert output.read() == ""
        quiet = receptor_runner.run(private_data_dir=directory, quiet=True, **parameters)
        assert quiet.status == "error"
        assert capfdbinary.readouterr() == (b"", b"")


def test_handlers_get_the_configuration_of_the_job(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    seen: dict[str, Any] = {}

    def note(data: dict[str, Any], runner_config: Any) -> None:
        for name in ("ident", "artifact_dir", "private_data_dir", "playbook", "inventory", "fact_cache", "command", "cwd",
                     "env", "settings", "limit"):  # fmt: skip
            seen[name] = getattr(runner_config, name)

    runner = receptor_runner.run(
        private_data_dir=directory, playbook="test.yml", ident="j", limit="all", quiet=True, status_handler=note
    )
    assert {**seen, "env": None} == {
        "ident": "j", "artifact_dir": f"{directory}/artifacts/j", "private_data_dir": str(directory), "playbook": "test.yml",
        "inventory": f"{directory}/inventory", "fact_cache": f"{directory}/artifacts/j/fact_cache", "limit": "all",
        "command": ["ansible-playbook", "-i", f"{directory}/inventory", "--limit", "all", "test.yml"],
        "cwd": f"{directory}/project", "env": None, "settings": {},
    }  # fmt: skip
    assert seen["env"]["AWX_ISOLATED_DATA_DIR"] == f"{directory}/artifacts/j"
    assert runner.config.ident == "j"
    assert not hasattr(runner.config, "nonsense")


def test_a_runner_is_made_as_ansible_runners_is(make_dir: DirFactory) -> None:
    config = receptor_runner.RunnerConfig(private_data_dir=make_dir(PLAY), playbook="test.yml", ident="j", quiet=True)
    config.prepare()
    runner = receptor_runner.Runner(config=config, event_handler=lambda event: True)
    runner.set_fact_cache("localhost", {"kept": 1})
    assert runner.get_fact_cache("localhost") == {"kept": 1}
    assert runner.run() == ("successful", 0)
    assert (runner.status, runner.get_fact_cache("localhost")["kept"]) == ("successful", 1)
    other = receptor_runner.interface.init_runner(private_data_dir=make_dir(PLAY), playbook="test.yml", quiet=True)
    other.config.env["MINE"] = "1"
    assert other.run() == ("successful", 0)
    assert other.config.env["MINE"] == "1"
    assert "AWX_ISOLATED_DATA_DIR" in other.config.env


#: What ansible-runner has and this package has not; docs/differences.md says so.
ABSENT = {
    "get_ansible_config", "get_inventory", "get_plugin_docs", "get_plugin_docs_async", "get_plugin_list", "get_role_argspec",
    "get_role_list", "plugins", "run_command", "run_command_async",
}  # fmt: skip
#: Modules that are its own inside.
INSIDE = {"config", "defaults", "display_callback", "loader", "output", "runner", "runner_config", "streaming"}


def test_every_public_name_of_ansible_runner_is_here_or_named_as_absent() -> None:
    theirs = {name for name in dir(ansible_runner) if not name.startswith("_")}
    missing = {name for name in theirs if not hasattr(receptor_runner, name)}
    assert missing - INSIDE - {"importlib_metadata"} == ABSENT
    page = (Path(receptor_runner.__file__).parents[1] / "docs" / "differences.md").read_text()
    assert not [name for name in ABSENT if f"`{name}`" not in page]
    for name in ("exceptions", "interface", "cleanup"):
        module, own = importlib.import_module(f"ansible_runner.{name}"), getattr(receptor_runner, name)
        public = {one for one, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        private = {
            "delete_associated_folders",
            "is_alive",
            "project_idents",
            "init_command_config",
            "init_plugin_docs_config",
            "add_cleanup_args",
            "cleanup_dirs",
            "cleanup_images",
            "prune_images",
            "validate_pattern",
        }
        assert {one for one in public if not hasattr(own, one)} - ABSENT <= private
    runner = {name for name in vars(ansible_runner.Runner) if not name.startswith("_")}
    inside = {"event_callback", "status_callback", "kill_container", "handle_termination"}
    assert {name for name in runner if not hasattr(receptor_runner.Runner, name)} <= inside


def test_errors_are_of_the_kinds_that_callers_catch(make_dir: DirFactory, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^private_data_dir path is either invalid or does not exist"):
        receptor_runner.run(streamer="transmit", _output=io.BytesIO(), private_data_dir=tmp_path / "none", playbook="x")
    with pytest.raises(FileNotFoundError):
        receptor_runner.Job(tmp_path / "none", playbook="x")
    with pytest.raises(ValueError, match="cannot be the name"):
        receptor_runner.run(private_data_dir=make_dir(PLAY), ident="a/b")
    with pytest.raises(ConnectionError):
        receptor_runner.Mesh(str(tmp_path / "no.sock")).nodes()
    assert issubclass(WaitTimeoutError, TimeoutError)
    with pytest.raises(receptor_runner.AnsibleRunnerException):
        receptor_runner.run(streamer="nonsense")
    assert receptor_runner.exceptions.ConfigurationError is receptor_runner.ConfigurationError


def test_a_damaged_settings_file_is_a_fault_of_the_job(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__settings="[[[")
    runner = receptor_runner.run(private_data_dir=directory, playbook="test.yml")
    assert (runner.status, runner.exit_code) == ("error", 78)


def test_settings_that_are_no_mapping_are_an_exception(make_dir: DirFactory) -> None:
    with pytest.raises(ConfigurationError, match="settings"):
        receptor_runner.run(private_data_dir=make_dir(PLAY), playbook="test.yml", settings="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["event_handler", "artifacts_handler", "finished_callback"])
def test_a_handler_that_raises_ends_a_local_run_as_error(kind: str, make_dir: DirFactory) -> None:
    finished: list[str] = []

    def broken(*arguments: Any, **named: Any) -> None:
        raise ZeroDivisionError

    handlers: dict[str, Any] = {"finished_callback": lambda result: finished.append(result.status), kind: broken}
    runner = receptor_runner.run(
        private_data_dir=make_dir(tasks("debug: {msg: hi}")), playbook="test.yml", quiet=True, **handlers
    )
    assert (runner.status, runner.exit_code) == ("error", 70)
    assert finished == ([] if kind == "finished_callback" else ["error"])


def test_what_cannot_begin_is_an_exception() -> None:
    with pytest.raises(InputError, match="nowhere"):
        receptor_runner.run(streamer="transmit", _output=io.BytesIO(), private_data_dir="/nowhere", playbook="x")
    with pytest.raises(UsageError, match="streamer"):
        receptor_runner.run(streamer="transmogrify")


def test_old_artifacts_are_rotated_only_if_asked_and_never_the_newest(make_dir: DirFactory) -> None:
    directory = make_dir(tasks("debug: {msg: hi}"))
    for number in range(4):
        receptor_runner.run(
            private_data_dir=directory,
            playbook="test.yml",
            ident=f"j{number}",
            quiet=True,
            rotate_artifacts=0 if number < 3 else 2,
        )
    assert sorted(path.name for path in (directory / "artifacts").iterdir()) == ["j2", "j3"]


def test_helpers_that_controllers_reach_as_attributes() -> None:
    script = (
        "import receptor_runner, json\n"
        "print(json.dumps([receptor_runner.utils.args2cmdline('a', 'b c'), receptor_runner.utils.capacity.get_cpu_count(),"
        " receptor_runner.utils.capacity.get_mem_in_bytes(), receptor_runner.__version__]))"
    )
    line, cpus, memory, version = json.loads(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    )
    assert line == "a 'b c'"
    assert cpus > 0
    assert memory > 2**20
    assert version


def test_a_guard_of_a_run_that_is_gone_goes_too(make_dir: DirFactory, no_leftovers: Path) -> None:
    """kill -9 of a controller in the middle of a local run."""
    directory = make_dir(tasks("command: sleep 60"))
    script = f"import receptor_runner; receptor_runner.run(private_data_dir={str(directory)!r}, playbook='test.yml', quiet=True, ident='j')"
    controller = subprocess.Popen([sys.executable, "-c", script])
    wait_for(
        lambda: (directory / "artifacts" / "j" / "job_events").is_dir() and len(processes_with(str(directory))) > 2,
        "the job runs",
    )
    time.sleep(0.5)
    controller.kill()
    controller.wait()
    wait_for(lambda: not processes_with(str(directory)), "everything of the job is gone", 10)
    wait_for(lambda: not list(directory.glob(".receptor-runner-*")), "its runtime directory is gone", 5)


def test_a_second_run_of_an_ident_has_its_own_events(make_dir: DirFactory) -> None:
    first = receptor_runner.run(private_data_dir=make_dir(PLAY), playbook="test.yml", ident="j", quiet=True)
    once = [event["uuid"] for event in first.events]
    second = receptor_runner.run(
        private_data_dir=make_dir(tasks("debug: {msg: again}")), playbook="test.yml", ident="j", quiet=True
    )
    twice = [event["uuid"] for event in second.events]
    assert twice
    assert not set(once) & set(twice)
    assert [event["counter"] for event in second.events] == list(range(1, len(twice) + 1))
    assert second.stats["ok"] == {"localhost": 1}
    assert len(list(second.host_events("localhost"))) == 2
