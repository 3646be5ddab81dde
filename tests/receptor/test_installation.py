"""A node gets the package in an environment of its own, gets another version beside it, and loses it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ours
from tests.support.environments import bare_environment
from tests.support.nodes import NO_DAEMON, Mesh, Node, daemon_binary, node_directory
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import processes_with, wait_for, words_of

CONFIG = "---\n# of the administrator\n- node:\n    id: exec-1   # and a remark\n- local-only\n- control-service:\n    service: control\n    filename: {socket}\n"


def environment(home: Path, version: str) -> Path:
    """One that has this package and ansible-core."""
    directory = home / version
    bare_environment(directory)
    (directory / "bin" / "ansible-playbook").symlink_to(Path(sys.executable).parent / "ansible-playbook")
    return directory


def worktype(where: Path, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [str(where / "bin" / "python"), "-m", "receptor_runner", "worktype", *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, cwd="/")


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """The daemon's files, as options."""
    (tmp_path / "systemd").mkdir()
    (tmp_path / "receptor.conf").write_text(CONFIG.format(socket=tmp_path / "s"))
    return ["--config", str(tmp_path / "receptor.conf"), "--drop-ins", str(tmp_path / "systemd" / "receptor.service.d")]


def test_what_is_installed_goes_again(tmp_path: Path, places: list[str]) -> None:
    config = tmp_path / "receptor.conf"
    before = config.read_text()
    first = environment(tmp_path / "opt", "1.0")
    done = worktype(first, "install", *places)
    assert done.returncode == 0, done.stderr
    assert b"systemctl daemon-reload && systemctl restart receptor" in done.stdout
    written = config.read_text()
    assert written.startswith(before), "what was there is as it was"
    assert "# and a remark" in written
    assert f"command: {tmp_path}/opt/worker" in written
    assert (
        (tmp_path / "systemd" / "receptor.service.d" / "receptor-runner.conf")
        .read_text()
        .endswith("KillMode=process\n")
    )
    assert os.readlink(tmp_path / "opt" / "current") == "1.0"
    again = worktype(first, "install", *places)
    assert again.returncode == 0
    assert config.read_text() == written, "twice is once"
    assert b"restart the daemon" not in again.stdout
    removed = worktype(first, "uninstall", *places)
    assert removed.returncode == 0, removed.stderr
    assert config.read_text() == before
    assert b"nothing to take away" in worktype(first, "uninstall", *places).stdout
    assert sorted(path.name for path in (tmp_path / "opt").iterdir()) == ["1.0"]
    assert not list((tmp_path / "systemd").iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "- local-only",
        "- local-only\n",
        "- local-only\n\n\n",
        "- local-only\r\n- trace\r\n",
        "---\n# x \n- trace\n  # y",
    ],
)
def test_every_byte_that_was_there_stays(text: str, tmp_path: Path, places: list[str]) -> None:
    config = tmp_path / "receptor.conf"
    config.write_bytes(text.encode())
    first = environment(tmp_path / "opt", "1.0")
    for _ in range(2):
        done = worktype(first, "install", *places)
        assert done.returncode == 0, done.stderr
        assert config.read_bytes().startswith(text.encode())
    assert worktype(first, "uninstall", *places).returncode == 0
    assert config.read_bytes() == text.encode()


def test_the_configuration_keeps_its_place_mode_and_owner(tmp_path: Path, places: list[str]) -> None:
    real = tmp_path / "real.conf"
    (tmp_path / "receptor.conf").rename(real)
    (tmp_path / "receptor.conf").symlink_to(real)
    real.chmod(0o640)
    owner = (12345, 12345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(real, *owner)
    first = environment(tmp_path / "a home", "1.0")
    assert worktype(first, "install", *places).returncode == 0
    assert (tmp_path / "receptor.conf").is_symlink()
    found = real.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*owner, 0o640)
    started = subprocess.run([tmp_path / "a home" / "worker", "--version"], capture_output=True)
    assert started.stdout.startswith(b"receptor-runner "), "a path may have a space"


def test_an_installation_that_fails_leaves_what_was_there(tmp_path: Path, places: list[str]) -> None:
    first = environment(tmp_path / "opt", "1.0")
    again = subprocess.run(
        [tmp_path / "opt" / "1.0" / "bin" / "python", "-m", "receptor_runner", "worktype", "install", *places],
        cwd="/",
        capture_output=True,
    )
    assert again.returncode == 0
    linked = subprocess.run(
        [tmp_path / "opt" / "current" / "bin" / "python", "-m", "receptor_runner", "worktype", "install", *places],
        cwd="/",
        capture_output=True,
    )
    assert linked.returncode == 0
    assert os.readlink(tmp_path / "opt" / "current") == "1.0", "never a link to itself"
    config = tmp_path / "receptor.conf"
    other = environment(tmp_path / "other", "1.0")
    refused = worktype(other, "install", *places)
    assert (refused.returncode, b"has the worker of" in refused.stderr) == (78, True)
    assert not (tmp_path / "other" / "current").exists()
    config.write_text(config.read_text().replace("# end of", "# and of"))
    for command in ("install", "uninstall"):
        damaged = worktype(first, command, *places)
        assert (damaged.returncode, b"damaged marks" in damaged.stderr) == (78, True)
    assert (tmp_path / "opt" / "worker").exists()
    hidden = worktype(environment(tmp_path / "opt", ".venv"), "install", *places)
    assert hidden.returncode == 78


def test_what_cannot_be_installed_changes_nothing(tmp_path: Path, places: list[str]) -> None:
    config = tmp_path / "receptor.conf"
    first = environment(tmp_path / "opt", "1.0")
    for text, words, code in (
        (CONFIG + "- work-command: {{worktype: receptor-runner, command: cat}}\n", "is there already", 78),
        ("version: 2\nnode: {{}}\n", "version", 78),
        (CONFIG + "- nonsense: {{}}\n", "nonsense", 78),
    ):
        config.write_text(text.format(socket=tmp_path / "s"))
        before = config.read_text()
        done = worktype(first, "install", *places)
        assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr
        assert config.read_text() == before
        assert not (tmp_path / "opt" / "current").exists()
    assert worktype(first, "install", "--config", tmp_path / "none").returncode == 66
    signed = worktype(first, "install", "--signed", *places)
    assert signed.returncode == 78
    outside = worktype(first, "switch", "/")
    assert outside.returncode == 78
    assert b"is not in" in outside.stderr


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.daemon)])
def test_a_job_keeps_its_version_and_the_next_gets_the_other(real: bool, tmp_path: Path, make_dir: DirFactory) -> None:
    binary = daemon_binary()
    if real and binary is None:
        pytest.skip(NO_DAEMON)
    old, new = environment(tmp_path / "opt", "1.0"), environment(tmp_path / "opt", "2.0")
    with node_directory() as directory:
        command = [str(binary)] if real else [sys.executable, "-m", "receptor_runner", "serve"]
        node = Node(directory, "exec-1", [{"local-only": None}], command)
        node.config.write_text(
            "\n".join(f"- {json.dumps(item)}" for item in json.loads(node.config.read_text())) + "\n"
        )
        places: list[Any] = ["--config", node.config, "--drop-ins", tmp_path / "no" / "systemd"]
        assert worktype(old, "install", *places).returncode == 0
        mesh = Mesh("daemon" if real else "embedded", [node])
        until = tmp_path / "until"
        play = tasks(f"wait_for: {{path: {until}, sleep: 1}}")
        try:
            mesh.start()
            assert mesh.run("submit", make_dir(play), "-p", "test.yml", "-i", "old").returncode == 0
            wait_for(lambda: workers_of(old), "the job runs")
            switched = worktype(old, "switch", new)
            assert switched.returncode == 0, switched.stderr
            assert mesh.run("submit", make_dir(play, name="d2"), "-p", "test.yml", "-i", "new").returncode == 0
            wait_for(lambda: workers_of(new), "the next job runs")
            assert workers_of(old), "the first goes on"
            until.touch()
            assert ours("attach", "old", "-q").returncode == ours("attach", "new", "-q").returncode == 0
        finally:
            mesh.stop()


def workers_of(where: Path) -> list[int]:
    program = f"{where}/bin/python"
    return [process.pid for process in processes_with(program) if words_of(process)[:1] == [program]]
