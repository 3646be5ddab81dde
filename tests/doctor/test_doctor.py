"""Each fault, injected for real, is found by its name; what is said of it is the one thing to do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from receptor_runner.doctor.finding import ADVICE
from tests.support.commands import BIN, OURS, ROOT, ours
from tests.support.disks import bind_mount, small_disk
from tests.support.engines import podman_in
from tests.support.environments import bare_environment
from tests.support.listeners import daemon_that_answers
from tests.support.nodes import BOTH, SHELL, WORKER, Mesh, running, running_with, signing_keys, worktype
from tests.support.permissions import obey_permissions
from tests.support.processes import wait_for
from tests.support.slow_link import SlowLink
from tests.support.tls_servers import Authority, serving

FAKE_TIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def doctor(*arguments: str | Path, **options: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by their checks, the worst of each."""
    done = ours("doctor", *arguments, "-o", "json", **options)
    assert done.stderr == b""
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode
    worst: dict[str, dict[str, Any]] = {}
    for finding in told["findings"]:
        if worst.get(finding["check"], {}).get("level", "ok") == "ok":
            worst[finding["check"]] = finding
    return done.returncode, worst


def examined(mesh: Mesh, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    return doctor(*mesh.arguments(), "--node", mesh.executor.name, *arguments)


def is_fault(found: tuple[int, dict[str, dict[str, Any]]], check: str, code: int) -> str:
    """It is the first fault, and what is to be done is said; returns its text."""
    exit_code, findings = found
    assert check in findings, json.dumps(findings, indent=1)
    finding = findings[check]
    assert (finding["level"], finding["exit_code"], finding["advice"]) == ("fault", code, ADVICE[check])
    assert exit_code == code
    return str(finding["text"])


def is_warning(found: tuple[int, dict[str, dict[str, Any]]], check: str) -> str:
    exit_code, findings = found
    assert check in findings, json.dumps(findings, indent=1)
    assert findings[check]["level"] == "warning"
    assert exit_code == 0, findings
    return str(findings[check]["text"])


# this machine


@pytest.mark.slow
def test_a_machine_where_all_is_well(tmp_path: Path) -> None:
    code, findings = doctor()
    assert code == 0
    assert {one["level"] for one in findings.values()} <= {"ok", "warning"}
    assert re.search(r"over after \d+\.\d\d s", findings["job"]["text"])
    assert json.loads(ours("jobs", "-o", "json").stdout) == [], "it leaves nothing"


def test_a_full_disk_here(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        env = {**os.environ, "XDG_STATE_HOME": str(disk)}
        text = is_fault(doctor("--socket", tmp_path / "none", env=env), "disk", 73)
        assert str(disk) in text


def test_a_state_directory_that_is_closed_to_us(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    found = doctor("--socket", tmp_path / "none", env=env, preexec_fn=obey_permissions)
    is_fault(found, "state-directory", 73)


def test_no_ansible_here(tmp_path: Path) -> None:
    words = [str(bare_environment(tmp_path / "venv")), "-m", "receptor_runner", "doctor", "-o", "json"]
    done = subprocess.run(words, capture_output=True, env=bare_variables(tmp_path))
    findings = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    is_fault((done.returncode, findings), "ansible-here", 78)
    assert "job" not in findings, "there is no use in trying one"


# the socket


@contextlib.contextmanager
def listening(path: Path, *, accept: bool = True) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        if accept:
            server.listen()
        yield


def test_a_socket_that_is_missing_refused_mute_or_closed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    is_fault(doctor("--socket", path), "socket-missing", 69)
    with listening(path, accept=False):
        is_fault(doctor("--socket", path), "socket-refused", 69)
    path.unlink()
    with listening(path):
        is_fault(doctor("--socket", path), "socket-mute", 69)
        path.chmod(0)
        is_fault(doctor("--socket", path, preexec_fn=obey_permissions), "socket-permission", 77)
    (tmp_path / "file").write_text("")
    is_fault(doctor("--socket", tmp_path / "file"), "socket-other", 69)


def test_a_control_service_that_is_mute_behind_a_firewall() -> None:
    """Its port takes no connection and refuses none, as a firewall does that drops."""
    with socket.socket() as server, contextlib.ExitStack() as others:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            waiting = others.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        is_fault(doctor("--socket", f"tcp://127.0.0.1:{server.getsockname()[1]}"), "socket-mute", 69)


def test_certificates_with_faults(tmp_path: Path) -> None:
    known, strange = Authority(tmp_path, "known"), Authority(tmp_path, "strange")
    for context, check in (
        (known.issue("localhost", -timedelta(days=1)), "tls-expired"),
        (known.issue("elsewhere"), "tls-name"),
        (strange.issue("localhost"), "tls-authority"),
    ):
        with serving(context) as address:
            is_fault(doctor("--socket", address, "--rootcas", known.file), check, 77)


def test_a_daemon_of_another_age(tmp_path: Path) -> None:
    """A stand-in: no such daemon can be had."""
    with daemon_that_answers(reply(Version="1.1.0"), tmp_path / "old"):
        assert "1.1.0" in is_fault(doctor("--socket", tmp_path / "old"), "daemon-version", 78)


def test_a_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    assert "none.conf" in is_fault(doctor("-c", tmp_path / "none.conf"), "mesh-configuration", 66)


def test_a_node_without_a_mesh_has_none() -> None:
    found = doctor("--node", "exec1")
    assert "exec1" in is_fault(found, "mesh-unnamed", 69)
    assert "versions" in found[1]


STATUS: dict[str, Any] = {
    "NodeID": "me", "Version": "1.4.9", "RoutingTable": {"you": "you"},
    "Advertisements": [{"NodeID": "you", "Service": "control", "Time": "now", "ConnType": 1, "WorkCommands": [{"WorkType": "receptor-runner", "Secure": False}]}],
}  # fmt: skip


def reply(**odd: Any) -> bytes:
    return json.dumps({**STATUS, **odd}).encode() + b"\n"


@pytest.mark.parametrize(
    "odd",
    [
        {"KnownConnectionCosts": {"me": 5}},
        {"KnownConnectionCosts": [1]},
        {"Version": "1.\u00b2"},
        {"Version": {"a": 1}},
        {"Advertisements": 5},
        {"Advertisements": [{"NodeID": "you", "WorkCommands": 7}]},
        {"RoutingTable": 3},
        {"Time": 10**400, "Success": True},
        {"Time": "soon", "Success": True},
    ],
)
def test_odd_answers_are_findings(odd: dict[str, Any], tmp_path: Path) -> None:
    with daemon_that_answers(reply(**odd), tmp_path / "s"):
        code, findings = doctor("--socket", tmp_path / "s", "--node", "you")
    assert code in (69, 70)
    assert any(one["level"] == "fault" for one in findings.values())


def test_an_interrupt_is_no_finding(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        waiting = subprocess.Popen([*OURS, "doctor", "--socket", str(tmp_path / "s")], stdout=subprocess.PIPE)
        assert waiting.stdout is not None
        while b"temporary files" not in waiting.stdout.readline():
            pass
        waiting.send_signal(signal.SIGINT)
        rest, _ = waiting.communicate(timeout=90)
    assert waiting.returncode == 130
    assert b"fault" not in rest


# the way


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_a_node_that_is_not_there(kind: str) -> None:
    with running(kind) as mesh:
        text = is_fault(doctor(*mesh.arguments(), "--node", "nowhere"), "node-absent", 69)
        assert mesh.controller.name in text, "those that are there are named"


@pytest.mark.slow
@pytest.mark.daemon
def test_a_node_two_hops_away() -> None:
    with running("daemon-line") as mesh:
        code, findings = examined(mesh)
        assert code == 0
        assert findings["route"]["text"].endswith("2 hops away")
        assert findings["job"]["level"] == "ok"


@pytest.mark.slow
@pytest.mark.daemon
def test_a_node_behind_a_slow_link() -> None:
    with SlowLink(0.7) as link, running_with("daemon", [worktype()], port=link.port) as mesh:
        link.to = mesh.listening
        wait_for(lambda: examined(mesh)[1].get("route", {}).get("level") == "ok", "the nodes meet")
        is_warning(examined(mesh), "node-slow")


@pytest.mark.slow
@pytest.mark.daemon
def test_a_node_that_wants_tls_and_gets_none() -> None:
    with running("daemon-tls") as mesh:
        mesh.options = []
        is_fault(examined(mesh), "control-tls", 77)


# the node


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def until_known(mesh: Mesh) -> Mesh:
    """Daemons advertise some seconds after their start."""
    if mesh.real:
        wait_for(
            lambda: json.loads(ours("nodes", mesh.executor.name, *mesh.arguments(), "-o", "json").stdout or "{}").get(
                "worktypes"
            ),
            "it is advertised",
            90,
        )
    return mesh


@pytest.mark.slow
def test_a_node_without_the_worktype(kind: str) -> None:
    with running_with(kind, [SHELL]) as mesh:
        assert "sh" in is_fault(examined(until_known(mesh)), "worktype-missing", 69)
        is_fault(examined(mesh, "--worktype", "other"), "worktype-other", 69)


@pytest.mark.slow
def test_a_command_that_is_not_there(kind: str) -> None:
    item = {
        "work-command": {
            "worktype": "receptor-runner",
            "command": "/no/python",
            "params": WORKER,
            "allowruntimeparams": True,
        }
    }
    with running_with(kind, [item]) as mesh:
        assert "/no/python" in is_fault(examined(until_known(mesh)), "worker-command", 78)


@pytest.mark.slow
def test_a_worktype_that_takes_no_runtime_parameters(kind: str) -> None:
    with running_with(kind, [worktype(allowruntimeparams=False)]) as mesh:
        found = examined(until_known(mesh))
        is_warning(found, "worktype-params")
        assert found[1]["job"]["level"] == "ok", "jobs run all the same"


@pytest.mark.slow
def test_a_worktype_that_is_no_worker(kind: str) -> None:
    item = {
        "work-command": {
            "worktype": "receptor-runner",
            "command": "echo",
            "params": "hello",
            "allowruntimeparams": True,
        }
    }
    with running_with(kind, [item]) as mesh:
        assert "hello" in is_fault(examined(until_known(mesh)), "worker-answer", 69)


@pytest.mark.slow
def test_a_python_that_is_too_old(kind: str) -> None:
    """No old Python can be had everywhere; the package asks the one that there is, which says that it is old."""
    script = "import sys; sys.version_info = (3, 8, 20, 'final', 0); import receptor_runner"
    item = {
        "work-command": {
            "worktype": "receptor-runner",
            "command": sys.executable,
            "params": f'-c "{script}"',
            "allowruntimeparams": True,
        }
    }
    with running_with(kind, [item]) as mesh:
        assert "needs Python 3.10" in is_fault(examined(until_known(mesh)), "worker-python", 78)


def bare_variables(directory: Path) -> dict[str, str]:
    """No ansible-playbook is on the PATH."""
    for name in ("sh", "env"):
        (directory / "bin").mkdir(exist_ok=True)
        (directory / "bin" / name).symlink_to(str(shutil.which(name)))
    return {**os.environ, "PATH": str(directory / "bin")}


@pytest.mark.slow
def test_no_ansible_on_the_node(kind: str, tmp_path: Path) -> None:
    bare_variables(tmp_path)
    python = bare_environment(tmp_path / "venv")
    command = {"command": "/usr/bin/env", "params": f"PATH={tmp_path}/bin {python} {WORKER}"}
    with running_with(kind, [worktype(**command)]) as mesh:
        is_fault(examined(until_known(mesh)), "node-ansible", 78)


@pytest.mark.slow
def test_a_full_disk_there(kind: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        command = {"command": "/usr/bin/env", "params": f"TMPDIR={disk} {sys.executable} {WORKER}"}
        with running_with(kind, [worktype(**command)]) as mesh:
            is_fault(examined(until_known(mesh)), "node-disk", 73)


@contextlib.contextmanager
def _mounted_once_more(directory: Path) -> Iterator[Path]:
    """What is of the same file system, but cannot be moved there."""
    source = directory.with_name("source")
    for one in (source, directory):
        one.mkdir()
    with bind_mount(source, directory):
        yield directory


@pytest.mark.slow
@pytest.mark.parametrize("other", [lambda directory: small_disk(directory, "200m"), _mounted_once_more])
def test_a_store_that_keeps_no_directories(
    other: Callable[[Path], contextlib.AbstractContextManager[Path]], kind: str, tmp_path: Path
) -> None:
    with other(tmp_path / "disk") as disk:
        work = worktype(params=f"{WORKER} --store {disk}/store")
        with running_with(kind, [work]) as mesh:
            exit_code, found = examined(until_known(mesh))
    assert exit_code == 0
    assert "keeps no directories" in found["node-store"]["text"]


@pytest.mark.slow
def test_no_container_engine_there(kind: str, tmp_path: Path) -> None:
    bare_variables(tmp_path)
    command = {"command": "/usr/bin/env", "params": f"PATH={tmp_path}/bin {sys.executable} {WORKER}"}
    with running_with(kind, [worktype(**command)]) as mesh:
        is_fault(examined(until_known(mesh), "--container-image", "localhost/x"), "node-engine", 69)


@pytest.mark.slow
def test_an_image_that_is_missing_there(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with podman_in(tmp_path) as podman:
        for name, value in podman.env.items():
            monkeypatch.setenv(name, value)
        with running_with(kind, [worktype()]) as mesh:
            found = examined(until_known(mesh), "--container-image", "localhost/none:missing")
            assert "localhost/none:missing" in is_fault(found, "job-image", 69)


@pytest.mark.slow
def test_a_clock_that_is_off_by_ten_minutes(kind: str) -> None:
    if not os.path.exists(FAKE_TIME):
        pytest.skip("needs libfaketime: apt-get install libfaketime")
    command = {"command": "/usr/bin/env", "params": f"LD_PRELOAD={FAKE_TIME} FAKETIME=+10m {sys.executable} {WORKER}"}
    with running_with(kind, [worktype(**command)]) as mesh:
        text = is_warning(examined(until_known(mesh)), "clock")
        assert re.search(r"is (59\d|60\d) s fast", text)


@pytest.mark.slow
def test_a_node_whose_advertisement_is_of_another_time() -> None:
    if not os.path.exists(FAKE_TIME):
        pytest.skip("needs libfaketime: apt-get install libfaketime")
    around = ["/usr/bin/env", f"LD_PRELOAD={FAKE_TIME}", "FAKETIME=-10m"]
    command = {"command": "/usr/bin/env", "params": f"-u LD_PRELOAD {sys.executable} {WORKER}"}
    with running_with("embedded-1.4", [worktype(**command)], around=around) as mesh:
        code, findings = examined(mesh)
        assert code == 0
        assert findings["worker"]["level"] == "ok"


@pytest.mark.slow
@pytest.mark.daemon
def test_a_worktype_that_believes_another_key(tmp_path: Path) -> None:
    (private, _), (_, public) = (signing_keys(tmp_path / name) for name in ("controller", "other"))
    theirs = [{"work-verification": {"publickey": str(public)}}, worktype(verifysignature=True)]
    with running_with(
        "daemon", theirs, [{"work-signing": {"privatekey": str(private), "tokenexpiration": "5m"}}]
    ) as mesh:
        is_fault(examined(until_known(mesh)), "worktype-signature", 77)


# waiting, and the page


@pytest.mark.slow
def test_it_waits_until_all_is_well(tmp_path: Path) -> None:
    assert doctor("--socket", tmp_path / "s", "--wait", "--timeout", "0.1")[0] == 69
    with running("embedded-1.4") as mesh:
        mesh.controller.stop()
        mesh.controller.socket.unlink(missing_ok=True)
        waiting = subprocess.Popen(
            [*OURS, "doctor", "--wait", "--timeout", "60", *mesh.arguments()], stdout=subprocess.PIPE
        )
        assert waiting.poll() is None
        mesh.start()
        out, _ = waiting.communicate(timeout=90)
        assert waiting.returncode == 0, out


def test_the_page_has_a_place_for_every_check() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    assert set(re.findall(r"^### (\S+)$", page, re.M)) == set(ADVICE)


@pytest.mark.slow
def test_a_job_that_hangs_does_not_hold_the_doctor_up(tmp_path: Path) -> None:
    """Its time is up long before that of its worker."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ansible").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "bin" / "ansible").chmod(0o755)
    (tmp_path / "bin" / "ansible-playbook").symlink_to(BIN / "ansible-playbook")
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    code, findings = doctor("--wait", "--timeout", "3", env=env)
    assert code == 124
    assert findings["job"]["level"] == "fault"
