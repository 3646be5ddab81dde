"""The environment that a job's command runs in.

Rules: what the job asks for comes over what the worker was started with, what we need comes over both (the order of
the peer, ansible_runner/config/_base.py). A daemon's environment is bare: a UTF-8 locale, a home and a PATH that
finds Ansible are supplied."""

from __future__ import annotations

import configparser
import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CALLBACK_PLUGIN", "KEY_FILE_VARIABLE", "bare_environment_filled", "callback_path"]

CALLBACK_PLUGIN = Path(__file__).parent / "callback" / "receptor_runner.py"
#: Tells the callback plugin where its key is. The file is gone once the plugin has read it.
KEY_FILE_VARIABLE = "RECEPTOR_RUNNER_KEY_FILE"

_DEFAULT_CALLBACK_PATH = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback"


def bare_environment_filled(env: Mapping[str, Any], private_data_dir: str) -> dict[str, str]:
    """``env`` as text, with what Ansible cannot do without."""
    filled = {str(name): str(value) for name, value in env.items()}
    if not filled.get("HOME"):
        filled["HOME"] = _home(private_data_dir)
    effective = filled.get("LC_ALL") or filled.get("LC_CTYPE") or filled.get("LANG") or ""
    if not effective.lower().replace("-", "").endswith("utf8"):
        filled["LC_ALL"] = "C.UTF-8"
    path = filled.get("PATH") or os.defpath
    beside = os.path.dirname(sys.executable)
    if not shutil.which("ansible-playbook", path=path) and shutil.which("ansible-playbook", path=beside):
        path = f"{beside}:{path}"
    filled["PATH"] = path
    return filled


def _home(fallback: str) -> str:
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return fallback
    return home if os.path.isdir(home) else fallback


def callback_path(env: Mapping[str, str], cwd: Path) -> str:
    """The user's callback plugin path, wherever it is configured: the variable that we set would hide it."""
    return env.get("ANSIBLE_CALLBACK_PLUGINS") or _configured_callback_path(env, cwd) or _DEFAULT_CALLBACK_PATH


def _configured_callback_path(env: Mapping[str, str], cwd: Path) -> str | None:
    """``callback_plugins`` of the ansible.cfg in effect."""
    home = Path(env.get("HOME", "/"))
    named = env.get("ANSIBLE_CONFIG")
    candidates = (
        [Path(named)] if named else [cwd / "ansible.cfg", home / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")]
    )
    for candidate in candidates:
        if not candidate.is_file():
            continue
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(candidate, encoding="utf-8")
            value = parser.get("defaults", "callback_plugins", fallback=None)
        except (configparser.Error, OSError, UnicodeDecodeError):
            return None
        if not value:
            return None
        return ":".join(str(candidate.parent / os.path.expanduser(part)) for part in value.split(":") if part)
    return None
