"""What the embedded node is to be, from the daemon's own configuration items.

Rules: an item that needs the real daemon is refused by name. Nothing is left out without a word."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import ConfigurationError
from ..receptor.address import LONGEST_SOCKET
from ..receptor.configuration import Item, read_items

__all__ = ["NodeConfig", "WorkCommand", "configure"]

_DEFAULT_DATA_DIR = "/tmp/receptor"  # the daemon's default, pkg/types/main.go
_REAL_DAEMON_FIELDS = ("tls", "tcplisten", "tcptls")


@dataclass(frozen=True)
class WorkCommand:
    """A worktype: what to run for a unit of it."""

    worktype: str
    command: str
    params: str = ""
    allow_runtime_params: bool = False


@dataclass
class NodeConfig:
    """``socket`` and ``datadir`` are absolute paths; units are kept in ``datadir``/``node``."""

    node: str
    datadir: str
    socket: str
    permissions: int = 0o600
    worktypes: dict[str, WorkCommand] = field(default_factory=dict)


def configure(files: Iterable[str]) -> NodeConfig:
    """:raises ConfigurationError: an item cannot be honoured; the text names file and line."""
    node: Item | None = None
    service: Item | None = None
    config = NodeConfig(socket.gethostname(), _DEFAULT_DATA_DIR, "")
    for item in read_items(files):
        match item.name:
            case "node":
                node = _only(item, node)
            case "control-service":
                service = _only(item, service)
            case "work-command":
                _add_worktype(config, item)
            case "log-level":
                item.text("level", "error")  # the embedded node has no log, but it refuses what the daemon refuses
            case "local-only":
                pass
            case _:
                raise item.refuse("needs the real Receptor daemon; the embedded node is for one machine")
    if service is None:
        raise ConfigurationError("the configuration has no control-service with a filename for the socket")
    if node is not None:
        config.node = node.text("id", config.node)
        config.datadir = os.path.abspath(node.text("datadir", config.datadir))
        if config.node == "localhost":
            raise node.refuse('node ID "localhost" is reserved')
    _set_service(config, service)
    return config


def _only(item: Item, other: Item | None) -> Item:
    if other is not None:
        raise item.refuse(f"there is one already, in {other.where}")
    return item


def _set_service(config: NodeConfig, item: Item) -> None:
    for name in _REAL_DAEMON_FIELDS:
        if item.text(name):
            raise item.refuse(f"{name} needs the real Receptor daemon; the embedded node has no network listener")
    if item.text("service", "control") != "control":
        raise item.refuse("the service of the embedded node is named control")
    config.socket = os.path.abspath(item.text("filename")) if item.text("filename") else ""
    if not config.socket:
        raise item.refuse("filename, the path of the socket, is missing")
    if len(os.fsencode(config.socket)) > LONGEST_SOCKET:
        raise item.refuse(f"the path of the socket is longer than {LONGEST_SOCKET} bytes: {config.socket}")
    permissions = item.fields.get("permissions", config.permissions)
    try:
        config.permissions = permissions if isinstance(permissions, int) else int(str(permissions), 8)
    except ValueError:
        raise item.refuse(f"permissions must be an octal number such as 0600, not {permissions!r}") from None


def _add_worktype(config: NodeConfig, item: Item) -> None:
    name = item.text("worktype")
    if name in config.worktypes:
        raise item.refuse(f"the worktype {name!r} is there already")
    if name == "remote":
        raise item.refuse("the worktype 'remote' is reserved")
    if item.flag("verifysignature"):
        raise item.refuse("verifysignature needs work-verification, and so the real Receptor daemon")
    config.worktypes[name] = WorkCommand(
        name, item.text("command"), item.text("params"), item.flag("allowruntimeparams")
    )
