"""Transmit: every input travels, the private data dir stays as it was, and an error leaves nothing on the wire."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import pty
import signal
import socket
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import receptor_runner
from receptor_runner.errors import InputError, OutputError
from receptor_runner.system.removal import remove_tree
from tests.support.commands import OURS, ours
from tests.support.permissions import as_nobody
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code
from tests.support.strategies import describe

PLAY = tasks("debug: {msg: hello}")


def transmitted(stream: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The parameters and the files of a stream."""
    first, second, rest = stream.split(b"\n", 2)
    kwargs = json.loads(first)["kwargs"]
    if b"zipfile" not in second:
        return kwargs, {}
    size = json.loads(second)["zipfile"]
    data = base64.b64decode(rest[: (size + 2) // 3 * 4])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return kwargs, {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def api(**parameters: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    output = io.BytesIO()
    receptor_runner.run(streamer="transmit", _output=output, **parameters)
    assert output.getvalue().endswith(b'{"eof": true}\n')
    return transmitted(output.getvalue())


def test_options_become_ansible_runners_parameters(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    done = ours(
        "transmit", directory, "-p", "test.yml", "-i", "job", "--limit", "h1", "--forks", "7", "--cmdline=--diff", "-vv", "--tags", "a,b",
        "--skip-tags", "c", "--omit-event-data", "--omit-env-files", "-e", "x=1 y='a b'", "-e", '{"z": [1]}', "-b", "/bin/ansible-playbook",
        "--process-isolation", "--process-isolation-executable", "docker", "--container-image", "image", "--container-option=--net=host",
        "--container-volume-mount", "/a:/b", "--artifact-dir", "/elsewhere", "-q", "-j", "--rotate-artifacts", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kwargs, _ = transmitted(done.stdout)
    assert kwargs == {
        "ident": "job", "playbook": "test.yml", "limit": "h1", "forks": "7", "cmdline": "--diff -e 'x=1 y='\"'\"'a b'\"'\"'' -e @../extra-vars/001", "verbosity": 2, "tags": "a,b",
        "skip_tags": "c", "omit_event_data": True, "suppress_env_files": True,
        "binary": "/bin/ansible-playbook", "process_isolation": True, "process_isolation_executable": "docker",
        "container_image": "image", "container_options": ["--net=host"], "container_volume_mounts": ["/a:/b"],
    }  # fmt: skip


def test_every_option_of_ansible_runner_is_known(ansible_runner: list[str]) -> None:
    theirs = subprocess.run([*ansible_runner, "transmit", "--help"], capture_output=True, text=True, check=True).stdout
    ours_text = ours("transmit", "--help").stdout.decode()
    options = {word.strip(",[]") for word in theirs.split() if word.startswith(("--", "[--"))}
    assert {option for option in options if option not in ours_text and option != "--version"} == set()


def test_module_and_role_options(make_dir: DirFactory) -> None:
    directory = make_dir()
    kwargs, _ = transmitted(
        ours("transmit", directory, "-m", "command", "-a", "echo x", "--hosts", "all", "-i", "j").stdout
    )
    assert kwargs == {"ident": "j", "module": "command", "module_args": "echo x", "host_pattern": "all"}
    arguments = ["-r", "greet", "--hosts", "web", "--role-vars", "a=1 b=text c=[2]", "--role-skip-facts", "-i", "j"]
    kwargs, _ = transmitted(ours("transmit", directory, *arguments).stdout)
    assert kwargs == {
        "ident": "j", "role": "greet", "hosts": "web", "role_vars": {"a": 1, "b": "text", "c": [2]}, "role_skip_facts": True,
    }  # fmt: skip


def test_the_private_data_dir_is_not_touched(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__cmdline="--diff")
    before = describe(directory)
    api(
        private_data_dir=str(directory), playbook=[{"hosts": "all"}], inventory={"all": {"hosts": {"h": {}}}}, envvars={"A": "1"},
        extravars={"b": 2}, passwords={"p": "secret"}, settings={"idle_timeout": 5}, ssh_key="KEY", cmdline="--check",
    )  # fmt: skip
    assert describe(directory) == before


def test_where_each_input_travels(make_dir: DirFactory) -> None:
    """Secrets in the parameters only; what a worker of ansible-runner reads from files, as files."""
    directory = make_dir(PLAY)
    kwargs, files = api(
        private_data_dir=directory, playbook="test.yml", inventory={"all": {"hosts": {"h": None}}}, envvars={"A": "1"},
        extravars={"b": 2}, passwords={"p": "secret"}, settings={"idle_timeout": 5}, ssh_key="KEY", ident=uuid.UUID(int=5),
    )  # fmt: skip
    assert kwargs == {
        "ident": "0" * 31 + "5", "playbook": "test.yml", "inventory": "inventory/hosts.json", "envvars": {"A": "1"},
        "passwords": {"p": "secret"}, "ssh_key": "KEY",
    }  # fmt: skip
    assert json.loads(files["env/settings"]) == {"idle_timeout": 5}
    assert json.loads(files["env/extravars"]) == {"b": 2}
    assert json.loads(files["inventory/hosts.json"]) == {"all": {"hosts": {"h": None}}}
    assert not any(b"secret" in content or b"KEY" in content for content in files.values())


def test_files_that_are_there_win_and_the_parameter_travels(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__settings="job_timeout: 9\n", env__extravars="a: 1\n")
    kwargs, files = api(
        private_data_dir=directory, playbook="test.yml", settings={"idle_timeout": 5}, extravars={"b": 2}
    )
    assert kwargs["settings"] == {"idle_timeout": 5}
    assert kwargs["extravars"] == {"b": 2}
    assert (files["env/settings"], files["env/extravars"]) == (b"job_timeout: 9\n", b"a: 1\n")


def test_text_replaces_the_inventory_in_the_archive_only(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    kwargs, files = api(private_data_dir=directory, playbook="test.yml", inventory="h1 a=b\nh2")
    assert kwargs["inventory"] == "inventory/hosts"
    assert files["inventory/hosts"] == b"h1 a=b\nh2"
    assert "localhost" in (directory / "inventory" / "hosts").read_text()


def test_an_inventory_from_elsewhere_travels_with_its_variables(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "group_vars").mkdir(parents=True)
    (elsewhere / "group_vars" / "all.yml").write_text("a: 1")
    (elsewhere / "script").write_text("#!/bin/sh\necho '{}'\n")
    (elsewhere / "script").chmod(0o700)
    (elsewhere / "other").write_text("not part of it")
    done = ours("transmit", directory, "-p", "test.yml", "--inventory", elsewhere / "script")
    kwargs, files = transmitted(done.stdout)
    assert kwargs["inventory"] == "inventory-external/script"
    assert files["inventory-external/group_vars/all.yml"] == b"a: 1"
    assert "inventory-external/other" not in files
    done = ours("transmit", directory, "-p", "test.yml", "--inventory", "elsewhere", cwd=tmp_path)
    kwargs, files = transmitted(done.stdout)
    assert kwargs["inventory"] == "inventory-external"
    assert "inventory-external/other" in files


def test_a_list_of_inventories_travels_as_one_directory(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    for name in ("one", "two"):
        (tmp_path / name / "group_vars").mkdir(parents=True)
        (tmp_path / name / "hosts").write_text(f"{name}\n")
        (tmp_path / name / "group_vars" / "all.yml").write_text(f"from: {name}\nonly_{name}: 1\n")
    sources = [
        str(tmp_path / "one" / "hosts"),
        str(tmp_path / "two" / "hosts"),
        "h3,h4",
        {"all": {"hosts": {"h5": None}}},
    ]
    kwargs, files = api(private_data_dir=directory, playbook="test.yml", inventory=sources)
    assert kwargs["inventory"] == "inventory-merged"
    merged = {name.removeprefix("inventory-merged/") for name in files if name.startswith("inventory-merged/")}
    assert merged == {
        "000-hosts", "001-hosts", "002-hosts", "003-hosts.json", "group_vars/all/000-all.yml", "group_vars/all/001-all.yml",
    }  # fmt: skip


def test_project_and_roles_from_elsewhere_travel(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "other.yml").write_text(PLAY)
    (tmp_path / "myroles" / "r1").mkdir(parents=True)
    (tmp_path / "myroles" / "r1" / "x").write_text("x")
    arguments = ["-p", "other.yml", "--project-dir", str(tmp_path / "other"), "--roles-path", str(tmp_path / "myroles")]
    kwargs, files = transmitted(ours("transmit", directory, *arguments).stdout)
    assert "project/other.yml" in files
    assert "project/test.yml" not in files
    assert files["roles/r1/x"] == b"x"
    assert kwargs["envvars"] == {"ANSIBLE_ROLES_PATH": "."}


def test_everything_travels_unless_excluded(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, artifacts__old__stdout="x", project__dotgit__config="x")
    (directory / "project" / "dotgit").rename(directory / "project" / ".git")
    _, files = transmitted(ours("transmit", directory, "-p", "test.yml").stdout)
    assert {"artifacts/old/stdout", "project/.git/config"} <= set(files)
    _, files = transmitted(
        ours("transmit", directory, "-p", "test.yml", "--exclude", ".git", "--exclude", "artifacts/*").stdout
    )
    assert set(files) == {"project/test.yml", "inventory/hosts"}


def test_only_transmit_kwargs_sends_only_the_parameters(make_dir: DirFactory) -> None:
    kwargs, files = api(private_data_dir=make_dir(PLAY), playbook="test.yml", only_transmit_kwargs=True, forks=3)
    assert (kwargs, files) == ({"playbook": "test.yml", "forks": 3}, {})


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["missing", "-p", "x.yml"], 66, "does not exist"),
        (["demo", "-p", "missing.yml"], 66, "missing.yml"),
        (["demo", "-p", "test.yml", "--inventory", "/nowhere/hosts"], 66, "/nowhere/hosts"),
        (["demo"], 64, "-p"),
        (["demo", "-p", "test.yml", "-m", "ping"], 64, "one of"),
        (["demo", "-p", "test.yml", "--hosts", "all"], 64, "--hosts"),
        (["demo", "-p", "test.yml", "-i", "demo/project/test.yml"], 64, "--inventory"),
        (["demo", "-p", "test.yml", "-i", "a/b"], 64, "ident"),
        (["demo", "-p", "test.yml", "-e", "@nofile"], 66, "nofile"),
        (["demo", "-p", "test.yml", "--nonsense"], 64, "--nonsense"),
        (["demo", "-r", "role", "--role-vars", "a='"], 64, "split"),
        (["demo", "-p", "test.yml", "-i", b"\xff"], 64, "ident"),
        (["demo", "-p", "test.yml", "-i", "a\nb"], 64, "ident"),
    ],
)
def test_bad_input_is_one_line_and_nothing_on_the_wire(
    make_dir: DirFactory, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    make_dir(PLAY)
    done = ours("transmit", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.count(b"\n") == 1
    assert text in done.stderr.decode()
    assert not (tmp_path / "missing").exists()


def test_what_cannot_travel_is_warned_about(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    os.utime(directory / "project" / "test.yml", (0, 0))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
        done = ours("transmit", directory, "-p", "test.yml")
    assert done.returncode == 0
    assert b"socket" in done.stderr
    assert "project/test.yml" in transmitted(done.stdout)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who cannot read a file")
def test_an_unreadable_file_is_an_error_before_the_first_byte(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY)
    secret = directory / "project" / "secret"
    secret.write_text("x")
    secret.chmod(0)
    for parent in directory.parents:
        if os.access(parent, os.W_OK) and "pytest" in str(parent):
            parent.chmod(0o755)
    api(private_data_dir=directory, playbook="test.yml")  # root can, and everything is loaded

    def refused() -> None:
        with pytest.raises(InputError, match="secret"):
            api(private_data_dir=directory, playbook="test.yml")

    as_nobody(refused)


@pytest.mark.slow
def test_what_no_worker_takes_is_refused_before_it_is_sent(make_dir: DirFactory) -> None:
    """Deeper than a path can be, too."""
    directory = make_dir(PLAY)
    deep = str(directory)
    for _ in range(1100):
        deep += "/d"
        os.mkdir(deep)
    try:
        done = ours("transmit", directory, "-p", "test.yml")
        assert (done.returncode, done.stdout) == (66, b"")
        assert b"deeper than 200 directories" in done.stderr
    finally:
        remove_tree(f"{directory}/d")
    assert not (directory / "d").exists()


def test_transmit_refuses_a_terminal(make_dir: DirFactory) -> None:
    master, slave = pty.openpty()
    done = subprocess.run(
        [*OURS, "transmit", make_dir(PLAY), "-p", "test.yml"], stdout=slave, stderr=subprocess.PIPE, check=False
    )
    os.close(slave)
    os.close(master)
    assert done.returncode == 64


@contextlib.contextmanager
def begun(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A transmit that has written its first bytes, and waits for its reader."""
    (directory / "project" / "big").write_bytes(os.urandom(2_000_000))
    with subprocess.Popen(
        [*OURS, "transmit", directory, "-p", "test.yml"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as transmit:
        assert transmit.stdout is not None
        transmit.stdout.read(10)
        yield transmit


def test_a_reader_who_goes_ends_transmit_without_a_traceback(make_dir: DirFactory) -> None:
    with begun(make_dir(PLAY)) as transmit:
        assert transmit.stdout is not None
        assert transmit.stderr is not None
        transmit.stdout.close()
        assert exit_code(transmit, 10) == OutputError.exit_code
        assert b"Traceback" not in transmit.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_transmit(make_dir: DirFactory, number: signal.Signals) -> None:
    with begun(make_dir(PLAY)) as transmit:
        transmit.send_signal(number)
        assert exit_code(transmit, 2) == 130


def test_exclude_holds_for_what_comes_from_elsewhere(make_dir: DirFactory, tmp_path: Path) -> None:
    for name in ("hosts", "secret/x", "group_vars/all.yml"):
        (tmp_path / "inv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inv" / name).write_text("localhost\n" if name == "hosts" else "a: 1\n")
    stream = ours(
        "transmit", make_dir(PLAY), "-p", "test.yml", "--inventory", tmp_path / "inv", "--exclude", "secret"
    ).stdout
    _, names = transmitted(stream)
    assert any(name.endswith("group_vars/all.yml") for name in names)
    assert not any("secret" in name for name in names)
