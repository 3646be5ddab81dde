"""Defaults and meshes from files: what wins over what, what is refused, and what a shell completes from it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import BIN, OURS, ours
from tests.support.nodes import running
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import Stopwatch, wait_for

PLAY = tasks("debug: {msg: hello}")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file; the working directory is empty, and ours."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = tmp_path / "config" / "receptor-runner" / "config.toml"
    file.parent.mkdir(parents=True)
    return file


def shown(**env: str) -> dict[str, tuple[object, str]]:
    done = ours("config", "show", "-o", "json", env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return {name: (one["value"], one["source"]) for name, one in json.loads(done.stdout)["defaults"].items()}


def test_the_nearest_source_wins(config: Path) -> None:
    assert shown()["lost-after"] == (600.0, "built in")
    config.write_text("[defaults]\nlost-after = 1\nforks = '5'\n")
    assert shown()["lost-after"] == (1, str(config))
    here = Path.cwd() / "receptor-runner.toml"
    here.write_text("[defaults]\nlost-after = 2\n")
    assert shown()["lost-after"] == (2, str(here))
    assert shown()["forks"] == ("5", str(config))
    variable = "RECEPTOR_RUNNER_LOST_AFTER"
    assert shown(**{variable: "3"})["lost-after"] == ("3", f"variable {variable}")
    assert b"lost-after = 2  # " in ours("config", "show").stdout


def test_a_default_has_its_effect_and_an_option_wins(config: Path, make_dir: DirFactory) -> None:
    config.write_text("[defaults]\nlimit = 'web'\ntags = ['a', 'b']\ncheck = true\n")
    directory = make_dir(PLAY)

    def kwargs(*options: str) -> dict[str, str]:
        done = ours("transmit", directory, "-p", "test.yml", *options)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout.splitlines()[0])["kwargs"]
        return found

    assert (kwargs()["limit"], kwargs()["tags"], kwargs()["cmdline"]) == ("web", "a,b", "--check")
    assert kwargs("-l", "db")["limit"] == "db"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[defaults\n", "is not TOML"),
        ("[default]\n", "'default' is not known"),
        ("[defaults]\nlimits = 'x'\n", "defaults.limits is no option"),
        ("[defaults]\nagain = true\n", "defaults.again is no option"),
        ("[defaults]\nlost-after = 'soon'\n", "defaults.lost-after: 'soon' is not a valid float"),
        ("[defaults]\nlimit = ['a']\n", "defaults.limit: one value is wanted"),
        ("mesh = 3\n", "mesh is not a table"),
        ("[mesh.x]\nsockets = 'a'\n", "mesh.x.sockets is not known"),
        ("[mesh.x]\nsocket = 3\n", "mesh.x.socket cannot be 3"),
        ("[defaults]\nnode = 2024-01-01\n", "defaults.node: a text, number or list is wanted"),
        ("[defaults]\nmesh = 'x'\n", "defaults.mesh: there is no mesh 'x'"),
        ("[defaults]\nmesh = 'x'\nsocket = 's'\n[mesh.x]\n", "defaults.mesh and defaults.socket contradict"),
        ("[defaults]\ncolor = 'red'\n", "defaults.color: 'red' is not one of"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_what_a_file_says_wrong_is_told_with_its_place(
    text: str, words: str, config: Path, make_dir: DirFactory
) -> None:
    config.write_text(text)
    done = ours("submit", make_dir(PLAY), "-p", "test.yml")
    assert done.returncode == 78
    assert done.stderr.decode().startswith(f"receptor-runner: {config}")
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_what_runs_or_writes_files_is_the_users_to_configure(config: Path, make_dir: DirFactory) -> None:
    (Path.cwd() / "receptor-runner.toml").write_text("[defaults]\nlog-file = '/x'\n")
    done = ours("jobs")
    assert done.returncode == 78
    assert b"defaults.log-file counts in" in done.stderr


def test_a_file_of_somebody_elses_configures_nothing(config: Path) -> None:
    file = Path.cwd() / "receptor-runner.toml"
    file.write_text("nonsense")
    file.chmod(0o666)
    assert b"is not read" in ours("jobs").stderr
    if os.geteuid() == 0:
        file.chmod(0o644)
        os.chown(file, 12345, 12345)
        assert b"is not read" in ours("jobs").stderr


def test_a_fifo_in_the_place_of_a_file_holds_nothing_up(config: Path) -> None:
    os.mkfifo(Path.cwd() / "receptor-runner.toml")
    done = ours("jobs", timeout=20)
    assert done.returncode == 78
    assert b"cannot read the configuration" in done.stderr


def test_the_nearer_of_two_files_wins(config: Path) -> None:
    config.write_text("[defaults]\nmesh = 'x'\n[mesh.x]\nsocket = '/mesh'\n")
    (Path.cwd() / "receptor-runner.toml").write_text("[defaults]\nsocket = '/nearer'\n")
    assert b"/nearer" in ours("nodes").stderr
    env = {**os.environ, "RECEPTOR_RUNNER_MESH": "x"}
    assert b"/mesh" in ours("nodes", env=env).stderr
    assert b"/typed" in ours("nodes", "--socket", "/typed", env=env).stderr


def test_a_directory_of_everybodys_configures_nothing(config: Path, make_dir: DirFactory) -> None:
    (Path.cwd() / "receptor-runner.toml").write_text("[defaults]\nsocket = '/evil'\n")
    Path.cwd().chmod(0o777)
    done = ours("transmit", make_dir(PLAY), "-p", "test.yml")
    assert done.returncode == 0
    assert b"is not read: somebody else may write to" in done.stderr


def test_a_worker_reads_no_configuration(config: Path) -> None:
    config.write_text("nonsense")
    assert ours("worker", "--worker-info").returncode == 0


@pytest.mark.slow
def test_a_mesh_by_its_name(config: Path, make_dir: DirFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    with running("embedded-1.4") as mesh:
        node = mesh.executor.name
        config.write_text(f"[mesh.there]\nsocket = '{mesh.controller.socket}'\n[mesh.gone]\nsocket = 'gone.sock'\n")
        assert node.encode() in ours("nodes", "--mesh", "there").stdout
        gone = ours("nodes", "--mesh", "gone")
        assert gone.returncode == 69
        assert str(config.parent / "gone.sock").encode() in gone.stderr, "relative to the file"
        unknown = ours("nodes", "--mesh", "nowhere")
        assert (unknown.returncode, b"known are: gone, there" in unknown.stderr) == (78, True)
        assert ours("nodes", "--mesh", "there", "--socket", "/x").returncode == 64
        monkeypatch.setenv("RECEPTORCTL_SOCKET", "/nowhere.sock")
        assert ours("nodes", "--mesh", "there").returncode == 0, "an option wins over a variable"
        config.write_text(config.read_text() + "[defaults]\nmesh = 'there'\n")
        assert b"/nowhere.sock" in ours("nodes").stderr, "a variable wins over a file"
        monkeypatch.delenv("RECEPTORCTL_SOCKET")
        done = ours("run", make_dir(PLAY), "-p", "test.yml", "-q")
        assert done.returncode == 0, done.stderr


def completed(line: str, **env: str) -> list[str]:
    """What bash gets for the end of ``line``."""
    words = line.split(" ")
    given = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_RECEPTOR_RUNNER_COMPLETE": "bash_complete"}
    done = subprocess.run(OURS, env={**os.environ, **given, **env}, capture_output=True, timeout=30)
    assert done.stderr == b""
    return [found.partition(",")[2] for found in done.stdout.decode().split()]


def test_command_lines_are_completed(config: Path, make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, project__more__site_yml="", project__roles__r__main_yml="")
    (directory / "project" / "more" / "site.yml").write_text("")
    assert {"submit", "status"} <= set(completed("receptor-runner s"))
    assert "--limit" in completed("receptor-runner run --li")
    assert completed(f"receptor-runner run {directory} -p ") == ["more/site.yml", "test.yml"]
    config.write_text("[mesh.prod]\n[mesh.test]\n")
    assert completed("receptor-runner nodes --mesh ") == ["prod", "test"]


def test_a_mesh_that_is_mute_holds_no_completion_up(config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        begun = Stopwatch()
        assert completed("receptor-runner run d --node ", RECEPTORCTL_SOCKET=str(tmp_path / "mute")) == []
        assert begun.seconds() < 5


@pytest.mark.slow
def test_jobs_nodes_and_worktypes_are_completed(config: Path, make_dir: DirFactory) -> None:
    with running("embedded-1.4") as mesh:
        mesh.run("submit", make_dir(PLAY), "-p", "test.yml", "-i", "nightly")
        assert completed("receptor-runner attach ni") == ["nightly"]
        env = {"RECEPTORCTL_SOCKET": str(mesh.controller.socket)}

        def come(line: str, names: list[str]) -> None:
            """A busy machine's node may not answer in time."""
            wait_for(lambda: completed(line, **env) == names, line)

        come("receptor-runner run d --node ", [mesh.executor.name])
        come("receptor-runner run d --worktype rec", ["receptor-runner"])
        assert ours("attach", "nightly", "-q").returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_the_shells_own(shell: str, tmp_path: Path) -> None:
    done = ours("completion", shell, env={**os.environ, "PATH": f"{BIN}:/usr/bin:/bin"})
    assert done.returncode == 0
    assert b"_RECEPTOR_RUNNER_COMPLETE" in done.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_bytes(done.stdout)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True).returncode == 0
