"""Whatever stands in the way of a container or sandbox: one clear explanation, and a stream that is a stream."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.isolation.engine_errors import isolation_fault
from tests.support.commands import ours
from tests.support.commands_in_isolation import READY_AND_WAIT
from tests.support.engines import IMAGE, Podman
from tests.support.jobs import job, start, statuses, work
from tests.support.private_data import DirFactory, tasks
from tests.support.processes import exit_code, processes_with, wait_for
from tests.support.registry import PASSWORD, USER, registry

pytestmark = pytest.mark.slow

PLAY = tasks("debug: {msg: hello}")


def refused(stream: bytes) -> tuple[int, str]:
    """The exit status and the explanation of a job that could not run."""
    done = work(stream)
    final = statuses(done.stdout)[-1]
    assert final["status"] == "error"
    assert final["result_traceback"]
    assert "\n" not in final["job_explanation"]
    for line in done.stdout.split(b"\n"):
        assert not line or json.loads(line if line.startswith(b"{") else line[line.rindex(b"{") :])
    return done.returncode, final["job_explanation"]


@pytest.mark.parametrize("name", ["podman-of-nobody", "docker-of-nobody", "bwrap-of-nobody", "/nowhere/podman"])
def test_a_missing_engine(name: str, make_dir: DirFactory) -> None:
    """In the words that controllers look for."""
    stream = job(make_dir(PLAY), process_isolation=True, process_isolation_executable=name, container_image="x")
    code, text = refused(stream)
    assert code == 69
    assert text.startswith(f"Unable to find process isolation executable: {name}")


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"container_image": "localhost/nobody/nothing:1"}, 69, "the image localhost/nobody/nothing:1 is not here"),
        ({"container_image": "localhost/none:1", "container_options": ["--pull=never"]}, 69, "image not known"),
        ({"container_image": "not a name"}, 69, "the image not a name is not here"),
        ({"container_options": ["--no-such-option"]}, 69, "unknown flag: --no-such-option"),
        ({"container_options": ["--mount=type=bind,src=/nowhere,dst=/x"]}, 66, "/nowhere"),
        ({"container_volume_mounts": ["/nowhere:/x"]}, 66, "/nowhere does not exist"),
        ({"container_volume_mounts": ["/tmp"]}, 78, "HOST_DIR:CONTAINER_DIR"),
        ({"container_volume_mounts": ["/home:/x"]}, 78, "When using containerized execution, cannot mount '/'"),
        ({"container_workdir": 5}, 78, "container_workdir must be a text"),
        ({"container_options": 5}, 78, "container_options must be a list"),
        ({"container_auth_data": {"username": "ada"}}, 78, "container_auth_data has no host"),
        ({"container_image": ""}, 78, "container_image required when specifying process_isolation_executable"),
        ({"process_isolation": "perhaps"}, 78, "process_isolation must be true or false"),
    ],
)
def test_serve_refuses_a_configuration_that_it_cannot_honour(
    settings: dict[str, Any], code: int, text: str, podman: Podman, make_dir: DirFactory
) -> None:
    stream = job(make_dir(PLAY, env__settings=json.dumps(podman.settings(**settings))))
    found, explanation = refused(stream)
    assert text in explanation
    assert found == code


def test_an_image_without_ansible(podman: Podman, make_dir: DirFactory) -> None:
    stream = job(make_dir(PLAY, args="no-such-program -i /runner/inventory"), **podman.settings())
    code, text = refused(stream)
    assert code == 69
    assert text.startswith(f"the image {IMAGE} cannot run no-such-program")


def test_an_engine_that_does_not_work_here(
    podman: Podman, make_dir: DirFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "containers.conf").write_text('[engine]\nruntime = "none-of-that-name"\n')
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
    code, text = refused(job(make_dir(PLAY), **podman.settings()))
    assert code == 69
    assert "none-of-that-name" in text
    monkeypatch.setenv("CONTAINERS_CONF", podman.env["CONTAINERS_CONF"])


def test_a_place_for_temporary_files_that_is_missing(make_dir: DirFactory) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap (Debian: apt-get install bubblewrap)")
    missing = {"process_isolation_path": "/nowhere/at/all"}
    code, text = refused(job(make_dir(PLAY), process_isolation=True, process_isolation_executable="bwrap", **missing))
    assert (code, "/nowhere/at/all" in text) == (66, True)


def test_a_program_that_the_sandbox_does_not_have(make_dir: DirFactory) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap (Debian: apt-get install bubblewrap)")
    directory = make_dir(PLAY, args="no-such-program")
    code, text = refused(job(directory, process_isolation=True, process_isolation_executable="bwrap"))
    assert code == 69
    assert text.startswith("the sandbox cannot run no-such-program")


def test_two_jobs_of_one_ident_in_one_place(podman: Podman, make_dir: DirFactory, tmp_path: Path) -> None:
    """The second cannot run, and does not take the first one's container along."""
    directory = make_dir(args=f"sh -c '{READY_AND_WAIT}'")
    stream = job(directory, **podman.settings())
    place = tmp_path / "place"
    results = tmp_path / "results"
    first = start(stream, "--private-data-dir", str(place), results=results)
    wait_for(lambda: b"ready" in results.read_bytes(), "the first runs")
    second = work(stream, "--private-data-dir", str(place))
    assert second.returncode == 69
    assert "already" in statuses(second.stdout)[-1]["job_explanation"]
    (place / "go").write_text("")
    assert exit_code(first, 90) == 0


@pytest.fixture
def served(podman: Podman, image_tar: Path, tmp_path: Path) -> str:
    """A small image in a directory, as a registry has it."""
    podman("import", "--quiet", image_tar, "localhost/served:1")
    podman("push", "--quiet", "--format", "v2s2", "localhost/served:1", f"dir:{tmp_path}/served")
    podman("rmi", "localhost/served:1")
    return str(tmp_path / "served")


def test_credentials_of_a_registry_are_used_and_leave_no_trace(
    served: str, podman: Podman, make_dir: DirFactory, tmp_path: Path, temporary: Path
) -> None:
    with registry(Path(served)) as host:
        image = f"{host}/team/served:1"
        auth = {"host": host, "username": USER, "password": PASSWORD, "verify_ssl": False}
        (tmp_path / "auth.yml").write_text(json.dumps(auth))
        directory = make_dir(args=f"sh -c '{READY_AND_WAIT}'")
        place = tmp_path / "place"
        stream = ours(
            "transmit",
            directory,
            "--container-image",
            image,
            "--container-auth-data",
            tmp_path / "auth.yml",
            "-i",
            "job",
        ).stdout
        results = tmp_path / "results"
        worker = start(stream, "--private-data-dir", str(place), results=results)
        wait_for(lambda: b"ready" in results.read_bytes(), "the job runs", 60)
        words = [word for process in processes_with(image) for word in process.cmdline()]
        kept = [path for path in temporary.rglob("auth.json") if path.stat().st_mode & 0o777 == 0o600]
        (place / "go").write_text("")
        assert exit_code(worker, 90) == 0
    podman("rmi", image)
    assert words
    assert not [word for word in words if PASSWORD in word]
    assert kept
    assert not list(temporary.iterdir())
    assert PASSWORD.encode() not in results.read_bytes()


def test_a_cancel_while_the_image_is_being_pulled(
    podman: Podman, make_dir: DirFactory, tmp_path: Path, no_leftovers: Path
) -> None:
    """From a registry that takes its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/slow:1"
        results = tmp_path / "results"
        worker = start(job(make_dir(PLAY), **podman.settings(container_image=image)), results=results)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            worker.send_signal(signal.SIGINT)
            assert exit_code(worker, 8) == 130
    assert statuses(results.read_bytes())[-1]["status"] == "canceled"
    assert not podman.left()


def test_wrong_credentials_are_an_error(served: str, podman: Podman, make_dir: DirFactory) -> None:
    with registry(Path(served)) as host:
        auth = {"host": host, "username": USER, "password": "wrong", "verify_ssl": False}
        settings = podman.settings(container_image=f"{host}/team/served:1", container_auth_data=auth)
        code, text = refused(job(make_dir(PLAY), **settings))
    assert code == 69
    assert "cannot be pulled" in text
    assert "container_auth_data" in text


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("docker: Error response from daemon: pull access denied for x, repository does not exist", 69, "not here"),
        ("Unable to find image 'x:1' locally\r\ndocker: Error response from daemon: manifest unknown.\r\nSee 'docker run "
         "--help'.", 69, "manifest unknown"),
        ("docker: Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: "
         "/x.\r\n", 66, "bind source path does not exist: /x"),
        ("docker: Error response from daemon: Conflict. The container name \"/x\" is already in use by container \"1\".",
         69, "this ident"),
        ("docker: Error response from daemon: failed to create task: exec: \"ansible-playbook\": executable file not found "
         "in $PATH: unknown.", 69, "cannot run ansible-playbook"),
        ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", 69,
         "Is the docker daemon running?"),
        ("", 69, "it said nothing"),
    ],
)  # fmt: skip
def test_what_docker_says_is_understood(said: str, kind: int, text: str) -> None:
    """Its words, for want of a daemon here."""
    fault = isolation_fault("docker", "x:1", "ansible-playbook", said)
    assert text in str(fault)
    assert fault.exit_code == kind
