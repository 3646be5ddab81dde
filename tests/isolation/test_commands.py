"""The commands that engines and sandboxes are started with, word for word where no engine can be run."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pexpect
import pytest

from receptor_runner.errors import ConfigurationError
from receptor_runner.isolation.path_map import PathMap
from receptor_runner.job.parameters import Parameters
from receptor_runner.job.private_data import PrivateDataDir
from receptor_runner.preparation.prepare import PreparationContext, prepare
from receptor_runner.preparation.run_spec import RunSpec
from tests.support.commands import ours
from tests.support.private_data import DirFactory, tasks
from tests.support.streams import stream_lines

PLAY = tasks("debug: {msg: hello}")
DOCKER = {"process_isolation": True, "process_isolation_executable": "docker", "container_image": "image:1"}


@pytest.fixture
def docker_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a client: the real one, or a file of that name where there is none."""
    found = shutil.which("docker")
    if found is None:
        (tmp_path / "bin").mkdir()
        file = tmp_path / "bin" / "docker"
        file.write_text("")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")
        found = str(file)
    return found


def prepared(directory: Path, scratch: Path, **parameters: Any) -> RunSpec:
    scratch.mkdir()
    values = Parameters.from_wire({"playbook": "test.yml", "ident": "a job-1", **parameters})
    return prepare(values, PreparationContext(PrivateDataDir(directory), str(scratch), lambda _: None))


def test_docker_gets_its_documented_arguments(docker_client: str, make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    command = prepared(
        directory,
        tmp_path / "scratch",
        **DOCKER,
        envvars={"COLOUR": "red", "DOCKER_HOST": "tcp://job"},
        container_options=["--network", "none"],
        container_volume_mounts=[f"{tmp_path}:/mnt:ro"],
        container_auth_data={"host": "reg.example.org", "username": "ada", "password": "word"},
        extravars={"a": 1},
    )
    assert command.isolated is not None
    assert command.isolated.env is not None
    argv = command.argv
    image = argv.index("image:1")
    named = [argv[n + 1] for n, word in enumerate(argv) if word == "--env"]
    rest = [word for n, word in enumerate(argv[:image]) if word != "--env" and argv[n - 1] != "--env"]
    name = rest[rest.index("--name") + 1]
    assert rest == [
        docker_client, f"--config={tmp_path}/scratch/docker", "run", "--rm", "--tty", "--interactive",
        "--workdir", "/runner/project", "-v", f"{directory}:/runner:Z", "-v", f"{tmp_path}:/mnt:ro",
        "--cidfile", f"{tmp_path}/scratch/container-id", "--label", command.isolated.label, f"--user={os.getuid()}",
        "--name", name, "--network", "none",
    ]  # fmt: skip
    assert name.startswith("ansible_runner_a_job-1_")
    assert not {"COLOUR", "DOCKER_HOST"} & set(named)
    assert {command.isolated.env[name] for name in named} >= {"red", "tcp://job", "False"}
    assert command.isolated.env.get("DOCKER_HOST") != "tcp://job"
    assert argv[image + 1 : image + 3] == ["sh", "-c"]
    assert argv[-3:] == ["-e", next(word for word in argv if word.startswith("@/runner/")), "test.yml"]
    auth = json.loads((tmp_path / "scratch" / "docker" / "config.json").read_text())
    assert base64.b64decode(auth["auths"]["reg.example.org"]["auth"]) == b"ada:word"


def test_dockers_client_takes_the_arguments(make_dir: DirFactory, tmp_path: Path) -> None:
    """It gets as far as asking for the daemon."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker client")
    command = prepared(make_dir(PLAY), tmp_path / "scratch", **DOCKER, envvars={"A": "b"})
    env = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "A": "b"}
    client = pexpect.spawn(command.argv[0], command.argv[1:], env=env, encoding="utf-8", timeout=60)
    said = client.read()
    client.close()
    assert "docker daemon" in said.lower()
    assert "unknown" not in said


@pytest.mark.parametrize("option", ["--user=1000", "-u1000", "--userns=keep-id"])
def test_the_user_of_a_container_can_be_chosen(
    option: str, docker_client: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    command = prepared(make_dir(PLAY), tmp_path / "scratch", **DOCKER, container_options=[option])
    assert [word for word in command.argv if word.startswith(("--user", "-u"))] == [option]


def test_names_are_the_same_for_the_same_job_and_no_other(
    docker_client: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    """Not even where only what a name cannot contain is different."""

    def name(number: int, directory: Path, ident: str) -> str:
        argv = prepared(directory, tmp_path / f"scratch{number}", **{**DOCKER, "ident": ident}).argv
        return argv[argv.index("--name") + 1]

    one, other = make_dir(PLAY, name="one"), make_dir(PLAY, name="other")
    asked = [(one, "a.b"), (one, "a.b"), (one, "a b"), (one, "a_b"), (other, "a.b"), (one, "x" * 200), (one, "x" * 201)]
    names = [name(number, *place) for number, place in enumerate(asked)]
    assert names[0] == names[1]
    assert len(set(names)) == len(names) - 1
    assert max(map(len, names)) <= 63


def test_relative_mounts_are_those_of_the_caller(
    docker_client: str, make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    command = prepared(
        make_dir(PLAY), tmp_path / "scratch", **DOCKER, container_volume_mounts=["./data:/data", "vol:/v"]
    )
    mounts = [command.argv[n + 1] for n, word in enumerate(command.argv) if word == "-v"]
    assert mounts[1:] == [f"{tmp_path}/data:/data", "vol:/v"]


def test_what_no_program_can_be_given(docker_client: str, make_dir: DirFactory, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be passed to a program"):
        prepared(make_dir(PLAY), tmp_path / "scratch", **{**DOCKER, "container_image": "x\0y"})


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ({"container_options": ["--detach"]}, "must not detach"),
        ({"envvars": {" A": "b"}}, "cannot be passed to an isolated job"),
        ({"envvars": {"A*": "b"}}, "cannot be passed to an isolated job"),
        ({"envvars": {"BASH_FUNC_exec%%": "() { :; }"}}, "cannot be passed to an isolated job"),
        ({"envvars": {"LONG": "x" * 200_000}}, "longer than a program can be given"),
        ({"container_volume_mounts": ["//:/x"]}, "cannot mount '/'"),
    ],
)
def test_render_refuses_what_would_go_wrong_later(
    what: dict[str, Any], text: str, docker_client: str, make_dir: DirFactory, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        prepared(make_dir(PLAY), tmp_path / "scratch", **{**DOCKER, **what})


def test_a_project_is_not_copied_into_itself(make_dir: DirFactory, tmp_path: Path) -> None:
    directory = make_dir(PLAY)
    with pytest.raises(ConfigurationError, match="copied into itself"):
        prepared(directory, tmp_path / "scratch", directory_isolation_base_path=str(directory / "project" / "copies"))


def test_a_project_that_turns_isolation_off_is_told(make_dir: DirFactory) -> None:
    directory = make_dir(PLAY, env__settings="process_isolation: false")
    done = ours("transmit", directory, "-p", "test.yml", "--container-image", "x:1")
    assert b"the job will run without it" in done.stderr


def test_a_colon_in_the_private_data_dir_is_told(docker_client: str, make_dir: DirFactory, tmp_path: Path) -> None:
    """No engine can be told of it."""
    with pytest.raises(ConfigurationError, match="there is a colon in its name"):
        prepared(make_dir(PLAY, name="a:b"), tmp_path / "scratch", **DOCKER)


def test_paths_of_a_container_are_understood_by_transmit(make_dir: DirFactory) -> None:
    """As people write them who know what the job sees."""
    directory = make_dir(PLAY)
    done = ours(
        "transmit", directory, "-p", "/runner/project/test.yml", "--inventory", "/runner/inventory/hosts",
        "--container-image", "x:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kwargs = stream_lines(done.stdout)[0]["kwargs"]
    assert (kwargs["playbook"], kwargs["inventory"]) == ("test.yml", "inventory/hosts")
    assert kwargs["process_isolation"] is True
    assert kwargs["process_isolation_executable"] == "podman"


def test_an_inventory_that_only_the_controller_has(docker_client: str, make_dir: DirFactory, tmp_path: Path) -> None:
    """A transmit of ansible-runner sends the controller's own path: the job gets the inventory that travelled."""
    (tmp_path / "same").write_text("not the one that is meant")
    for number, path in enumerate(("/controller/only/inventory", str(tmp_path / "same"))):
        command = prepared(make_dir(PLAY), tmp_path / f"scratch{number}", **DOCKER, inventory=path)
        assert command.argv[command.argv.index("-i") + 1] == "/runner/inventory"


def test_a_path_map_translates_both_ways() -> None:
    view = PathMap([("/tmp/pdd", "/runner"), ("/srv/project", "/runner/project"), ("/etc/pki", "/etc/pki")])
    pairs = {
        "/tmp/pdd": "/runner", "/tmp/pdd/env/x": "/runner/env/x", "/srv/project/a": "/runner/project/a",
        "/tmp/pdd2": "/tmp/pdd2", "/usr/bin": "/usr/bin", "relative": "relative",
    }  # fmt: skip
    for outside, inside in pairs.items():
        assert view.inside(outside) == inside
        assert view.outside(inside) == outside
    assert view.shows("/etc/pki/tls")
    assert not view.shows("/etc")
    assert PathMap().shows("/etc")


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({"process_isolation_executable": "podman"}, ["podman", "run", "--rm"]),
        ({"process_isolation_executable": "/usr/bin/podman"}, ["podman", "run", "--rm"]),
        ({"process_isolation_executable": "bwrap"}, ["bwrap", "--die-with-parent", "--unshare-pid"]),
        ({}, ["podman", "run", "--rm"]),
    ],
)
def test_settings_win_over_parameters(
    settings: dict[str, Any], arguments: list[str], make_dir: DirFactory, tmp_path: Path
) -> None:
    wanted = {"process_isolation": True, "container_image": "from-settings:1", **settings}
    program = os.path.basename(wanted.get("process_isolation_executable", "podman"))
    if shutil.which(wanted.get("process_isolation_executable", "podman")) is None:
        pytest.skip(f"there is no {program} here")
    directory = make_dir(PLAY, env__settings=json.dumps(wanted))
    command = prepared(directory, tmp_path / "scratch", container_image="from-parameters:1", process_isolation=False)
    assert [os.path.basename(command.argv[0]), *command.argv[1:3]] == arguments
    assert ("from-settings:1" in command.argv) == (program == "podman")
    assert "from-parameters:1" not in command.argv
