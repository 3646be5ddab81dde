"""Several hosts that are reached by real ssh: one server of the test's own, on 127.0.0.2 and on.

Rules: nothing of the tester's keys, agents or configuration is used. The server is gone afterwards."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import free_port
from tests.support.processes import processes_with, wait_for

_SERVER = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
NO_SERVER = "there is no sshd (Debian: apt-get install openssh-server)"


@contextlib.contextmanager
def ssh_hosts(directory: Path, count: int) -> Iterator[str]:
    """Lines of an inventory for the hosts ``ssh1`` and on; skips if there is no server."""
    if _SERVER is None:
        pytest.skip(NO_SERVER)
    directory.mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    port, addresses = free_port(), [f"127.0.0.{2 + number}" for number in range(count)]
    lines = [
        f"Port {port}",
        *(f"ListenAddress {address}" for address in addresses),
        f"HostKey {directory}/host",
        f"AuthorizedKeysFile {directory}/user.pub",
        f"PidFile {directory}/pid",
        "StrictModes no",
        "UsePAM no",
        "MaxStartups 100:30:200",
    ]
    (directory / "sshd_config").write_text("\n".join(lines) + "\n")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen([_SERVER, "-D", "-e", "-f", directory / "sshd_config"], stderr=log)
    try:
        wait_for(lambda: _serves(addresses[-1], port), f"sshd serves: {(directory / 'log').read_text()}", 20)
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentityAgent=none -F /dev/null"
        yield "".join(
            f"ssh{number} ansible_host={address} ansible_port={port} ansible_user={getpass.getuser()} "
            f"ansible_ssh_private_key_file={directory}/user ansible_ssh_common_args='{options}' "
            'ansible_python_interpreter="{{ ansible_playbook_python }}"\n'
            for number, address in enumerate(addresses, 1)
        )
    finally:
        server.terminate()
        server.wait(20)
        for left in processes_with(f" {port}"):  # the variable SSH_CONNECTION
            left.kill()


def _serves(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 2) as client:
        return client.recv(4) == b"SSH-"
    return False
