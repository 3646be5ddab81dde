"""What a sandboxed or contained job leaves in its own directory, to reach the machine by what comes after it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import OURS
from tests.support.engines import Engine
from tests.support.jobs import job, processed, statuses, work
from tests.support.private_data import DirFactory, tasks

pytestmark = pytest.mark.slow


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the machine that no job sees."""
    directory = tmp_path / "victim"
    directory.mkdir()
    for name in ("hosts", "hosts.json", "main.json", "s1_localhost", "localhost", "event-key", "secret"):
        (directory / name).write_text("secret of the machine")
    (directory / "s1_localhost").write_text('{"__payload__": "{}"}')
    return directory


def contents(directory: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_another_directory_in_the_place_of_the_artifacts_is_not_archived(
    engine: Engine, make_dir: DirFactory, victim: Path, tmp_path: Path
) -> None:
    script = (
        f'mv "$AWX_ISOLATED_DATA_DIR" "$AWX_ISOLATED_DATA_DIR.old"; ln -s {victim} "$AWX_ISOLATED_DATA_DIR"; echo ok'
    )
    done = work(job(make_dir(args=f"sh -c '{script}'"), **engine.settings()))
    assert done.returncode == 0
    artifacts = processed(done.stdout, tmp_path / "back")
    assert "ok" in (artifacts / "stdout").read_text()
    assert not (artifacts / "secret").exists()
    assert (artifacts / "rc").read_text() == "0"


@pytest.mark.parametrize("place", ["inventory", "project", "artifacts/job/fact_cache", ".receptor-runner-*"])
def test_nothing_is_removed_or_written_behind_a_link_of_the_job(
    place: str, engine: Engine, make_dir: DirFactory, victim: Path, tmp_path: Path
) -> None:
    """Playbook and inventory came as data, and are removed again after the job; facts are translated."""
    before = contents(victim)
    program = (
        f"import glob, os; [(os.rename(one, one + '.old'), os.symlink('{victim}', one), print('mov' + 'ed'))"
        f" for one in glob.glob('{{{{ top }}}}/{place}')]"
    )
    play = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [
                {"set_fact": {"mine": 1, "cacheable": True}},
                {"command": {"argv": ["{{ ansible_playbook_python }}", "-c", program]}, "register": "done"},
                {"debug": {"var": "done.stdout"}},
            ],
        }
    ]
    where = tmp_path / "node" / "place"
    directory = make_dir()
    (directory / "inventory" / "hosts").unlink()
    hosts = {"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}
    hosts["all"]["hosts"]["localhost"]["ansible_python_interpreter"] = "{{ ansible_playbook_python }}"
    top = "/runner" if engine.kind == "podman" else str(where)
    stream = job(
        directory,
        playbook=play,
        inventory=hosts,
        extravars={"top": top},
        only_transmit_kwargs=True,
        **engine.settings(),
    )
    done = work(stream, "--private-data-dir", str(where))
    assert b"moved" in done.stdout
    assert contents(victim) == before


def test_a_link_that_was_left_or_sent_is_not_followed_before_an_isolated_job(
    engine: Engine, make_dir: DirFactory, victim: Path
) -> None:
    """An earlier job may have left it."""
    for name in ("project", "inventory", "artifacts", "env/extravars"):
        directory = make_dir(tasks("debug: {msg: hello}"), name=f"with-{name.replace('/', '-')}", env__settings="{}")
        path = directory / name
        if path.is_dir():
            path.rename(directory / "old")
        path.symlink_to(victim if name != "env/extravars" else victim / "secret")
        what = {"playbook": None, "module": "ping", "host_pattern": "localhost", **engine.settings()}
        stream = job(directory, only_transmit_kwargs=True, **what)
        done = work(stream, "--private-data-dir", str(directory))
        assert done.returncode == 78
        assert "leads out of the private data dir" in statuses(done.stdout)[-1]["job_explanation"]
    assert set(contents(victim)) == {
        "hosts", "hosts.json", "main.json", "s1_localhost", "localhost", "event-key", "secret",
    }  # fmt: skip


@pytest.mark.parametrize("parameter", ["extravars", "inventory"])
def test_no_file_of_the_machine_is_copied_for_the_isolated_job_of_a_stranger(
    parameter: str, engine: Engine, make_dir: DirFactory, victim: Path
) -> None:
    (victim / "vars.json").write_text('{"one": "secret of the machine"}')
    directory = make_dir(tasks("debug: {var: one}"))
    (directory / "inventory" / "link").symlink_to(victim / "secret")
    value = str(victim / "vars.json") if parameter == "extravars" else ["inventory/link", {"all": {}}]
    kwargs = {"playbook": "test.yml", "ident": "job", parameter: value, **engine.settings()}
    stream = job(directory).split(b"\n", 1)[1]
    done = work(json.dumps({"kwargs": kwargs}).encode() + b"\n" + stream)
    assert done.returncode == 78
    assert "is not in the private data dir" in statuses(done.stdout)[-1]["job_explanation"]
    assert b"secret of the machine" not in done.stdout


@pytest.mark.parametrize("name", ["env/settings", "env/envvars", "env/passwords", "env/cmdline", "env/ssh_key", "args"])
@pytest.mark.parametrize("target", ["/dev/zero", "fifo"])
def test_an_input_that_is_no_file_is_refused_at_once(name: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / name).symlink_to(target if target.startswith("/") else tmp_path / target)
    stream = json.dumps({"kwargs": {"playbook": "x.yml"}}).encode() + b'\n{"eof": true}\n'
    done = subprocess.run(
        [*OURS, "worker", "--private-data-dir", tmp_path], input=stream, capture_output=True, timeout=20, check=False
    )
    assert done.returncode in (66, 78)
    explanation = statuses(done.stdout)[-1]["job_explanation"]
    assert "not a regular file" in explanation or "leads out" in explanation


def test_a_job_does_not_switch_off_the_isolation_of_the_next(
    engine: Engine, make_dir: DirFactory, victim: Path, tmp_path: Path
) -> None:
    """In a private data dir that is used again, ``env/settings`` may be an earlier job's."""
    where = tmp_path / "node" / "place"
    (where / "env").mkdir(parents=True)
    (where / "env" / "settings").write_text("{process_isolation: false, process_isolation_show_paths: [/]}")
    play = tasks(f"shell: rm -f {victim}/secret", "debug: {msg: done}")
    done = work(job(make_dir(play), **engine.settings()), "--private-data-dir", str(where))
    assert b"done" in done.stdout
    assert (victim / "secret").exists()


def test_nothing_behind_a_link_is_quoted(sandbox: Engine, make_dir: DirFactory, tmp_path: Path) -> None:
    for name, content in (
        ("env/envvars", "password: *s3cret"), ("env/passwords", '"(s3cret": x'), ("env/settings", "job_timeout: s3cret"),
    ):  # fmt: skip
        (tmp_path / "outside").write_text(content)
        directory = make_dir(tasks("debug: {msg: hello}"), name=name.replace("/", "-"), env__x="")
        (directory / name).symlink_to(tmp_path / "outside")
        stream = job(directory, only_transmit_kwargs=True, **sandbox.settings())
        done = work(stream, "--private-data-dir", str(directory))
        assert done.returncode == 78
        assert b"s3cret" not in done.stdout


def test_a_fifo_among_the_variables_of_an_inventory_hangs_nobody(tmp_path: Path) -> None:
    (tmp_path / "inventory" / "group_vars").mkdir(parents=True)
    (tmp_path / "inventory" / "hosts").write_text("localhost")
    os.mkfifo(tmp_path / "inventory" / "group_vars" / "all")
    kwargs = {"module": "ping", "host_pattern": "all", "inventory": ["inventory/hosts", {"all": {}}]}
    stream = json.dumps({"kwargs": kwargs}).encode() + b'\n{"eof": true}\n'
    words = [*OURS, "worker", "--private-data-dir", str(tmp_path)]
    done = subprocess.run(words, input=stream, capture_output=True, timeout=20, check=False)
    assert done.returncode == 66
    assert "not a regular file" in statuses(done.stdout)[-1]["job_explanation"]


@pytest.mark.parametrize("option", ["-d", "-dt", "-itd", "--detach", "--detach=1", "--detach=true", "-d=true"])
def test_a_container_is_not_detached(option: str, make_dir: DirFactory) -> None:
    """Nobody would know how the job ends."""
    settings = {"process_isolation": True, "container_image": "x", "container_options": [option]}
    done = work(job(make_dir(tasks("debug: {msg: hello}")), **settings))
    assert done.returncode == 78
    assert "detach" in statuses(done.stdout)[-1]["job_explanation"]
