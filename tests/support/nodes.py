"""Meshes for the tests: the embedded node, and the real daemon as two nodes, three in a line, signed, or with TLS.

Rules: every scenario gets the same object, whatever is behind it. Nothing is left running.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.commands import BIN, OURS, ours
from tests.support.processes import processes_with, wait_for

WORKER = "-m receptor_runner worker --keepalive-seconds 2"
NO_DAEMON = (
    "there is no Receptor daemon: put its binary `receptor` on PATH, or name it in RECEPTOR_BIN; "
    "it is on its release page, https://github.com/ansible/receptor/releases, and in the image quay.io/ansible/receptor"
)


def daemon_binary() -> str | None:
    return os.environ.get("RECEPTOR_BIN") or shutil.which("receptor")


class Node:
    """One node, embedded or real."""

    def __init__(self, directory: Path, name: str, items: Sequence[dict[str, Any]], command: list[str]) -> None:
        self.name = name
        self.directory = directory
        self.socket = directory / f"{name[:12]}.sock"
        self.data = directory / "data" / name
        base: list[dict[str, Any]] = [
            {"node": {"id": name, "datadir": str(directory / "data")}},
            {"control-service": {"service": "control", "filename": str(self.socket)}},
        ]
        self.config = directory / f"{name}.yml"
        service = next((item for item in items if "control-service" in item), None)
        if service is not None:
            base[1]["control-service"].update(service["control-service"])
        others = [item for item in items if "control-service" not in item]
        self.config.write_text(json.dumps([*base, *others]))
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.directory / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "--config", str(self.config)],
                env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "xterm", "LC_ALL": "C.UTF-8"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self.answers, f"{self.name} serves")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(self.socket))
            return client.recv(8) == b"Receptor"
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def units(self) -> list[str]:
        if not self.data.is_dir():
            return []
        return sorted(path.name for path in self.data.iterdir() if (path / "status").exists())


class Mesh:
    """``nodes[0]`` is the controller's, ``nodes[-1]`` runs the jobs."""

    def __init__(self, kind: str, nodes: list[Node], options: Sequence[str] = ()) -> None:
        self.kind = kind
        self.nodes = nodes
        self.options = [*options]
        #: The port on which the controller waits for its peers.
        self.listening = 0

    @property
    def controller(self) -> Node:
        return self.nodes[0]

    @property
    def executor(self) -> Node:
        return self.nodes[-1]

    @property
    def real(self) -> bool:
        return self.kind.startswith("daemon")

    def arguments(self) -> list[str]:
        return ["--socket", str(self.controller.socket), *self.options]

    def run(self, command: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """A command that submits a job to the executor."""
        return ours(command, *arguments, *self.arguments(), "--node", self.executor.name, **options)

    def popen(self, command: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        words = [*OURS, command, *map(str, arguments), *self.arguments(), "--node", self.executor.name]
        return subprocess.Popen(words, **options)

    def units(self) -> list[str]:
        return sorted({unit for node in self.nodes for unit in node.units()})

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """A daemon advertises what it offers 5 s after its start, and then once a minute: the first one may be lost."""

        def ready() -> bool:
            found = ours("nodes", self.executor.name, *self.arguments(), "-o", "json")
            if found.returncode:
                return False
            offer = json.loads(found.stdout)
            return bool(offer["reachable"] and offer["worktypes"])

        try:
            wait_for(ready, "the executor is offered", 90)
        except AssertionError as exc:
            logs = [node.directory / f"{node.name}.log" for node in self.nodes]
            said = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs if log.exists())
            raise AssertionError(f"{exc}\n{said}") from exc

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def worktype(name: str = "receptor-runner", **more: Any) -> dict[str, Any]:
    item = {"worktype": name, "command": sys.executable, "params": WORKER, "allowruntimeparams": True, **more}
    return {"work-command": item}


SHELL = {"work-command": {"worktype": "sh", "command": "bash", "params": "-c", "allowruntimeparams": True}}
CAT = {"work-command": {"worktype": "cat", "command": "cat"}}
LOUD = {"log-level": "debug"}


def embedded(directory: Path, protocol: str = "1.4", name: str = "exec-1.example.org") -> Mesh:
    items = [{"local-only": None}, worktype(), SHELL, CAT]
    command = [*OURS, "serve", "--protocol", protocol]
    return Mesh(f"embedded-{protocol}", [Node(directory, name, items, command)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def daemon(directory: Path, kind: str) -> Mesh:
    """The real one: ``daemon`` is two nodes, ``daemon-line`` three, ``daemon-signed`` and ``daemon-tls`` two."""
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    command = [os.path.abspath(binary)]
    port, second = free_port(), free_port()
    work: dict[str, Any] = worktype()
    ours_items: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    tls: dict[str, Any] = {}
    options: list[str] = []
    if kind == "daemon-signed":
        private, public = signing_keys(directory)
        ours_items = [{"work-signing": {"privatekey": str(private), "tokenexpiration": "5m"}}]
        theirs = [{"work-verification": {"publickey": str(public)}}]
        work = worktype(verifysignature=True)
    if kind == "daemon-tls":
        for name in ("ctl", "exec-1"):
            _certificate(directory, name, command)
        ours_items, theirs = _tls_items(directory, "ctl"), _tls_items(directory, "exec-1")
        tls = {"tls": "srv"}
        options = ["--tls-client", "cli"]
    listener = {"tcp-listener": {"bindaddr": "127.0.0.1", "port": port, **tls}}
    controller = Node(directory, "ctl", [LOUD, listener, *ours_items, *_service(tls)], command)
    nodes = [controller]
    if kind == "daemon-line":
        peer = {"tcp-peer": {"address": f"localhost:{port}"}}
        nodes.append(
            Node(
                directory,
                "hop",
                [LOUD, peer, {"tcp-listener": {"bindaddr": "127.0.0.1", "port": second}}],
                command,
            )
        )
        port = second
    client = {"tls": "cli"} if tls else {}
    peer = {"tcp-peer": {"address": f"localhost:{port}", **client}}
    nodes.append(Node(directory, "exec-1", [LOUD, peer, *theirs, *_service(tls), work, SHELL, CAT], command))
    return Mesh(kind, nodes, options)


@contextlib.contextmanager
def running_with(
    kind: str,
    theirs: Sequence[dict[str, Any]],
    ours_items: Sequence[dict[str, Any]] = (),
    *,
    port: int | None = None,
    around: Sequence[str] = (),
) -> Iterator[Mesh]:
    """A mesh whose executor has the items ``theirs`` and the controller ``ours_items``: one embedded node, or two real
    ones. It is not waited for: something may be wrong with it.

    :param port: where the executor connects to, if something stands between the two.
    :param around: what the executor's command runs under.
    """
    with node_directory() as directory:
        if kind.startswith("embedded"):
            mesh = Mesh(kind, [Node(directory, "exec-1", [{"local-only": None}, *theirs], [*around, *OURS, "serve"])])
        else:
            binary = daemon_binary()
            if binary is None:
                pytest.skip(NO_DAEMON)
            command, listening = [os.path.abspath(binary)], free_port()
            listener = {"tcp-listener": {"bindaddr": "127.0.0.1", "port": listening}}
            peer = {"tcp-peer": {"address": f"localhost:{port or listening}"}}
            controller = Node(directory, "ctl", [LOUD, listener, *ours_items], command)
            mesh = Mesh(kind, [controller, Node(directory, "exec-1", [LOUD, peer, *theirs], [*around, *command])])
            mesh.listening = listening
        try:
            for node in mesh.nodes:
                node.start()
            yield mesh
        finally:
            mesh.stop()


def _service(tls: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"control-service": tls}] if tls else []


def _tls_items(directory: Path, name: str) -> list[dict[str, Any]]:
    files = {"cert": str(directory / f"{name}.crt"), "key": str(directory / f"{name}.key")}
    ca = str(directory / "ca.crt")
    return [
        {"tls-server": {"name": "srv", **files, "requireclientcert": True, "clientcas": ca}},
        {"tls-client": {"name": "cli", **files, "rootcas": ca}},
    ]


def signing_keys(directory: Path) -> tuple[Path, Path]:
    """Makes a private and a public key for signed work."""
    directory.mkdir(exist_ok=True)
    private, public = directory / "private.pem", directory / "public.pem"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def _certificate(directory: Path, name: str, command: list[str]) -> None:
    ca = [f"outcert={directory}/ca.crt", f"outkey={directory}/ca.key"]
    if not (directory / "ca.crt").exists():
        subprocess.run([*command, "--cert-init", "commonname=test", "bits=2048", *ca], check=True, capture_output=True)
    made = [f"outreq={directory}/{name}.csr", f"outkey={directory}/{name}.key"]
    names = [f"commonname={name}", "bits=2048", "dnsname=localhost", "ipaddress=127.0.0.1", f"nodeid={name}"]
    subprocess.run([*command, "--cert-makereq", *names, *made], check=True, capture_output=True)
    sign = [f"req={directory}/{name}.csr", f"cacert={directory}/ca.crt", f"cakey={directory}/ca.key", "verify=yes"]
    subprocess.run(
        [*command, "--cert-signreq", *sign, f"outcert={directory}/{name}.crt"], check=True, capture_output=True
    )


def build(directory: Path, kind: str) -> Mesh:
    return (
        embedded(directory, kind.removeprefix("embedded-")) if kind.startswith("embedded") else daemon(directory, kind)
    )


@contextlib.contextmanager
def node_directory() -> Iterator[Path]:
    """A temporary directory for nodes, its name short: sockets are made there. Units outlive their node, and write to
    it: they are ended before it is removed."""
    with tempfile.TemporaryDirectory(prefix="rrm-", dir="/tmp") as directory:
        try:
            yield Path(directory)
        finally:
            _end_units(directory)


def _end_units(directory: str) -> None:
    left: set[psutil.Process] = set()
    for runner in processes_with(directory):
        with contextlib.suppress(psutil.NoSuchProcess):
            left |= {runner, *runner.children(recursive=True)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        left = set(psutil.wait_procs(left, 5)[1])


@contextlib.contextmanager
def running(kind: str) -> Iterator[Mesh]:
    """A mesh in a directory of its own."""
    with node_directory() as directory:
        mesh = build(directory, kind)
        try:
            mesh.start()
            yield mesh
        finally:
            mesh.stop()


#: Where a module's tests need one mesh and no shapes of it.
BOTH = ["embedded-1.4", pytest.param("daemon", marks=pytest.mark.daemon)]


def star(directory: Path, binary: str, work: Mapping[str, dict[str, Any]]) -> Mesh:
    """Daemons: a controller, and an executor of each name with its worktype around it."""
    port = free_port()
    peer = {"tcp-peer": {"address": f"localhost:{port}"}}
    nodes = [Node(directory, "ctl", [LOUD, {"tcp-listener": {"bindaddr": "127.0.0.1", "port": port}}], [binary])]
    nodes += [Node(directory, name, [LOUD, peer, one], [binary]) for name, one in work.items()]
    return Mesh("daemon", nodes)
