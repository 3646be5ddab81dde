"""What a check found, and the one thing to do about it.

Rules: no IO. Every check has a name, which is its place on the page doctor of the documentation."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import OutputError

__all__ = ["ADVICE", "FAULT", "OK", "WARNING", "Finding", "fault", "ok", "room", "signature_check", "warning"]

OK, WARNING, FAULT = "ok", "warning", "fault"
#: A job's artifacts need more than this; below the first the next job fails.
_NO_BYTES, _LITTLE_BYTES = 16 * 1024**2, 512 * 1024**2

#: What to do, by the name of the check.
ADVICE = {
    "state-directory": "make it writable for this user, or set XDG_STATE_HOME to a directory that is",
    "disk": "make room: jobs need it for their artifacts",
    "ansible-here": "install it beside this program: pip install 'receptor-runner[ansible]'",
    "mesh-unnamed": "name it: --socket PATH, RECEPTORCTL_SOCKET, or --mesh NAME of the configuration file",
    "mesh-configuration": "correct the receptor configuration that --config names",
    "socket-missing": "start the daemon (systemctl start receptor), or name the socket that its control-service has",
    "socket-refused": "start the daemon (systemctl start receptor): nobody serves there",
    "socket-mute": "look into the daemon's log and restart it; on tcp:// and tls://, open its port in the firewall",
    "socket-permission": "add this user to the group of the socket, or set permissions in its control-service",
    "socket-other": "name the control socket of a Receptor node: a path, tcp://HOST:PORT or tls://HOST:PORT",
    "tls-expired": "renew the certificate, and restart the daemon that uses it",
    "tls-name": "connect by a name that is in the certificate, or make one with this name",
    "tls-authority": "name the authority that signed the certificate: --rootcas FILE",
    "tls-other": "compare the tls-server and tls-client of both ends: certificates, authorities, names",
    "daemon-version": "use a daemon from 1.2 on; releases are on https://github.com/ansible/receptor/releases",
    "node-absent": "start its daemon; look at its tcp-peer and the firewalls on the way; --ttl lets a job wait",
    "node-mute": "look into the logs of the daemons on the way to it; one of them does not pass messages on",
    "node-slow": "nothing, if this is a long way; else look at the load of the nodes on the way",
    "control-mute": "give the node a control-service; without it, results come over the node of the socket alone",
    "control-tls": "name the daemon's tls-client for nodes: --tls-client NAME",
    "worktype-missing": "name a node that runs jobs with --node, or set this one up: receptor-runner worktype install",
    "worktype-other": "choose one that is offered, or install ours on the node: receptor-runner worktype install",
    "worktype-unknown": "wait a minute: daemons advertise once a minute",
    "worktype-signature": "the node's work-verification must have the public half of the controller's work-signing key",
    "worktype-params": "set allowruntimeparams: true in the work-command, and restart the daemon",
    "worker-command": "on the node: receptor-runner worktype print makes a work-command with paths that exist",
    "worker-python": "install receptor-runner on the node with Python 3.10 or newer, and render the worktype again",
    "worker-answer": "try the work-command by hand on the node, with --worker-info behind it",
    "worker-version": "upgrade receptor-runner on the node",
    "node-ansible": "on the node: pip install ansible-core, into the environment of its worker",
    "node-disk": "make room on the node, or set TMPDIR of its daemon to a larger disk",
    "node-engine": "install podman on the node, or run without --container-image",
    "node-seal-key": "compare it with worker seal-key on the node; then trust --forget NODE, and trust NODE again",
    "node-errors": "look at what the node says",
    "clock": "set the clocks by NTP on every node (chronyc tracking shows how far they are off)",
    "answer": "report it with the text, please; the daemon or the worker says what no version of them says",
    "job-image": "pull the image on the node: podman pull IMAGE, as the user of its daemon",
    "job": "run it by hand: receptor-runner run DIR -m ping --hosts localhost --node NODE --debug",
}


class Finding(NamedTuple):
    """``check`` is a key of :data:`ADVICE`, or another name if all is well. ``exit_code`` is that of a fault."""

    group: str
    check: str
    level: str
    text: str
    advice: str | None = None
    exit_code: int = 0


def ok(group: str, check: str, text: str) -> Finding:
    return Finding(group, check, OK, text)


def warning(group: str, check: str, text: str) -> Finding:
    return Finding(group, check, WARNING, text, ADVICE[check])


def fault(group: str, check: str, text: str, exit_code: int) -> Finding:
    return Finding(group, check, FAULT, text, ADVICE[check], exit_code)


def room(group: str, check: str, where: str, free: int) -> Finding:
    """:param free: so many bytes are free ``where``."""
    size = f"{free / 2**30:.1f} GiB" if free >= 2**30 else f"{free / 2**20:.0f} MiB"
    text = f"{size} are free {where}"
    if free < _NO_BYTES:
        return fault(group, check, text, OutputError.exit_code)
    return warning(group, check, text) if free < _LITTLE_BYTES else ok(group, check, text)


def signature_check(text: str) -> str | None:
    """The check that a refusal of signed work is about; None if it is about something else."""
    if "signature" in text or "signing key" in text:
        return "clock" if "expired" in text else "worktype-signature"
    return None
