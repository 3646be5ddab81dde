"""Receptor's configuration files: which items they have, and on which line.

Rules: nothing is written. Version 1 is a list of items, each a mapping of one name to its fields, to a single value,
or to nothing (cmdline.go of Receptor's command-line library). Version 2 is refused, because the daemon takes it only
with a flag of its own. Whatever the daemon would refuse, or get wrong without a word, is an error with file and line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from ..errors import ConfigurationError, InputError

__all__ = ["Item", "read_items", "read_text"]

#: Items of the daemon, with the fields of each; the first is what a single value means, if any may stand alone.
_ITEMS: dict[str, tuple[str, ...]] = {
    "command-service": ("service", "command", "tls"),
    "control-service": ("service", "filename", "permissions", "tls", "tcplisten", "tcptls"),
    "ip-router": ("networkname", "interface", "localnet", "routes"),
    "local-only": ("local",),
    "log-level": ("level",),
    "node": (
        "id", "datadir", "firewallrules", "maxidleconnectiontimeout", "receptorkubesupportreconnect",
        "receptorkubeclientsetqps", "receptorkubeclientsetburst", "receptorkubeclientsetratelimiter",
    ),
    "tcp-client": ("service", "address", "tlsserver", "tlsclient"),
    "tcp-listener": ("bindaddr", "port", "tls", "cost", "nodecost", "allowedpeers"),
    "tcp-peer": ("address", "redial", "tls", "cost", "allowedpeers"),
    "tcp-server": ("port", "bindaddr", "remotenode", "remoteservice", "tlsserver", "tlsclient"),
    "tls-client": (
        "name", "cert", "key", "rootcas", "insecureskipverify", "pinnedservercert", "skipreceptornamescheck",
        "mintls13",
    ),
    "tls-server": (
        "name", "cert", "key", "requireclientcert", "clientcas", "pinnedclientcert", "skipreceptornamescheck",
        "mintls13",
    ),
    "trace": (),
    "udp-client": ("service", "address"),
    "udp-listener": ("bindaddr", "port", "cost", "nodecost", "allowedpeers"),
    "udp-peer": ("address", "redial", "cost", "allowedpeers"),
    "udp-server": ("port", "bindaddr", "remotenode", "remoteservice"),
    "unix-socket-client": ("service", "filename", "tls"),
    "unix-socket-server": ("filename", "permissions", "remotenode", "remoteservice", "tls"),
    "work-command": ("worktype", "command", "params", "allowruntimeparams", "verifysignature"),
    "work-kubernetes": (
        "worktype", "namespace", "image", "command", "params", "authmethod", "kubeconfig", "pod",
        "allowruntimeauth", "allowruntimecommand", "allowruntimeparams", "allowruntimepod", "deletepodonrestart",
        "streammethod", "verifysignature",
    ),
    "work-python": ("worktype", "plugin", "function", "config"),
    "work-signing": ("privatekey", "tokenexpiration"),
    "work-verification": ("publickey",),
    "ws-listener": ("bindaddr", "port", "path", "tls", "cost", "nodecost", "allowedpeers"),
    "ws-peer": ("address", "redial", "extraheader", "tls", "cost", "allowedpeers"),
}  # fmt: skip
_REQUIRED = {
    "work-command": ("worktype", "command"),
    "work-signing": ("privatekey", "tokenexpiration"),
    "tcp-peer": ("address",),
    "tcp-listener": ("port",),
}
_FLAGS = ("allowruntimeparams", "verifysignature", "redial", "insecureskipverify", "requireclientcert", "mintls13")
#: What the daemon's YAML takes for true or false (PyYAML takes fewer) was meant as a name in these.
_TEXTS = ("id", "worktype", "command", "name", "service")
_BOOLEANS = ("y", "n", "yes", "no", "on", "off", "true", "false")


class Item(NamedTuple):
    """One item; ``fields`` have lower-case names. ``line`` counts from 1."""

    name: str
    fields: dict[str, Any]
    file: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.file}, line {self.line}"

    def text(self, field: str, default: str = "") -> str:
        value = self.fields.get(field)
        return default if value is None else str(value)

    def flag(self, field: str) -> bool:
        return str(self.fields.get(field, "")).lower() in ("true", "yes", "on", "1")

    def refuse(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self.where}: {self.name}: {reason}")


def read_items(files: Iterable[str | os.PathLike[str]]) -> list[Item]:
    """The items of all files, in order.

    :raises InputError: a file cannot be read.
    :raises ConfigurationError: the daemon would refuse it, or take it for something else.
    """
    return [item for file in files for item in _read_file(os.fspath(file))]


def _read_file(file: str) -> list[Item]:
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as exc:
        raise InputError(f"cannot read the configuration {file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file}: not UTF-8 at byte {exc.start}") from exc
    return read_text(text, file)


def read_text(text: str, file: str) -> list[Item]:
    """The items of ``text``, which errors call ``file``.

    :raises ConfigurationError: as :func:`read_items`.
    """
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{file}{line}: not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    if len(documents) > 1:
        second = documents[1].start_mark.line + 1
        raise ConfigurationError(f"{file}, line {second}: a second document; Receptor reads only the first of a file")
    if not documents or (isinstance(documents[0], yaml.ScalarNode) and not documents[0].value):
        return []
    if isinstance(documents[0], yaml.MappingNode):
        raise ConfigurationError(
            f"{file}, line {documents[0].start_mark.line + 1}: a mapping, as version 2 of Receptor's configuration is; "
            f"this takes version 1, a list: '- work-command: {{…}}'"
        )
    if not isinstance(documents[0], yaml.SequenceNode):
        raise ConfigurationError(f"{file}, line 1: not a list of items")
    return [_item(node, file) for node in documents[0].value]


def _item(node: yaml.Node, file: str) -> Item:
    line = node.start_mark.line + 1
    _check_names(node, file)
    try:
        value = yaml.SafeLoader("").construct_document(node)
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{file}, line {line}: {exc}") from exc
    if isinstance(value, str):
        value = {value: None}
    if not isinstance(value, dict) or not value:
        raise ConfigurationError(f"{file}, line {line}: not an item")
    if len(value) > 1:
        names = ", ".join(map(str, value))
        raise ConfigurationError(f"{file}, line {line}: one item has several names ({names}); indent its fields")
    (name, content), *_ = value.items()
    if name not in _ITEMS:
        raise ConfigurationError(f"{file}, line {line}: Receptor has no item {name!r}")
    item = Item(name, _fields(name, content, f"{file}, line {line}"), file, line)
    for field in _REQUIRED.get(name, ()):
        if item.fields.get(field) in (None, ""):
            raise item.refuse(f"the field {field!r} is missing")
    return item


def _check_names(node: yaml.Node, file: str) -> None:
    """Refuses names that YAML reads as true or false: a node named ``n`` would be named ``false``."""
    for _, fields in node.value if isinstance(node, yaml.MappingNode) else ():
        for key, value in fields.value if isinstance(fields, yaml.MappingNode) else ():
            plain = isinstance(value, yaml.ScalarNode) and value.style is None
            if plain and key.value.lower() in _TEXTS and value.value.lower() in _BOOLEANS:
                where = f"{file}, line {value.start_mark.line + 1}"
                raise ConfigurationError(f"{where}: {value.value!r} is true or false for YAML; write it in quotes")


def _fields(name: str, content: Any, where: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        if not _ITEMS[name] or isinstance(content, list):
            raise ConfigurationError(f"{where}: {name}: takes fields, not {content!r}")
        return {_ITEMS[name][0]: content}
    fields = {str(field).lower(): value for field, value in content.items()}
    for field, value in fields.items():
        if field not in _ITEMS[name]:
            raise ConfigurationError(f"{where}: {name}: Receptor has no field {field!r} here")
        if field in _FLAGS and not isinstance(value, bool) and str(value).lower() not in ("true", "false", "1", "0"):
            raise ConfigurationError(f"{where}: {name}: {field} must be true or false, not {value!r}")
    return fields
