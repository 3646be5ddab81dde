"""The environment of a job's command.

Rules: what the job asks for wins over what the worker was started with, and what we need wins over both (the order of
ansible_runner/config/_base.py). A daemon's environment is bare, so a UTF-8 locale, a home and a PATH that finds
Ansible are added. In a container, the environment begins with that of the image, and paths are those of the container.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pwd
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..isolation.path_map import PathMap
from ..job.private_data import PrivateDataDir
from ..job.resolved import ResolvedJob
from .ansible_config import AnsibleConfig

__all__ = ["KEY_FILE_VARIABLE", "OWN_ROLES", "Places", "bare_environment_filled", "job_environment"]

#: What a transmit stage writes into ``ANSIBLE_ROLES_PATH`` for the roles that travel along.
OWN_ROLES = "."
#: Ansible's own defaults (ansible/config/base.yml).
_CALLBACKS = "{home}/plugins/callback:/usr/share/ansible/plugins/callback"
_ROLES = "{home}/roles:/usr/share/ansible/roles:/etc/ansible/roles"
#: locale.h of Linux.
_LC_ALL_MASK = 0x1FBF
#: Tells the callback plugin where its key is. The file is gone once the plugin has read it.
KEY_FILE_VARIABLE = "RECEPTOR_RUNNER_KEY_FILE"


class Places(NamedTuple):
    """Directories of one job, as this machine calls them."""

    runtime: Path
    artifact_dir: Path


def job_environment(
    asked: Mapping[str, str],
    job: ResolvedJob,
    private_data: PrivateDataDir,
    path_map: PathMap,
    roles: Callable[[str], str],
    places: Places,
) -> dict[str, str]:
    """``asked``, completed with what we need. What is configured elsewhere stays in effect, and ours is added: a
    variable would hide what an ansible.cfg says.

    :param roles: what becomes of ``ANSIBLE_ROLES_PATH`` with this value.
    """
    env = dict(asked)
    parameters = job.parameters
    config = AnsibleConfig(env, private_data.cwd, path_map)
    env["ANSIBLE_CALLBACK_PLUGINS"] = ":".join(
        (
            env.get("ANSIBLE_CALLBACK_PLUGINS") or config.paths("defaults", "callback_plugins", _CALLBACKS),
            path_map.inside(places.runtime / "callback"),
        )
    )
    _add_roles(env, config, roles)
    if not config.has("defaults", "host_key_checking"):
        env.setdefault("ANSIBLE_HOST_KEY_CHECKING", "False")
    if env.get("TMPDIR") and not path_map.own_root and not config.has("defaults", "local_tmp"):
        env.setdefault("ANSIBLE_LOCAL_TEMP", env["TMPDIR"])  # what a killed job had decrypted there goes with it
    env["AWX_ISOLATED_DATA_DIR"] = path_map.inside(places.artifact_dir)
    if parameters["module"] and not parameters["binary"]:
        env["ANSIBLE_LOAD_CALLBACK_PLUGINS"] = "1"
        env.setdefault("AD_HOC_COMMAND_ID", "1")
    env["RUNNER_OMIT_EVENTS"] = str(bool(parameters["omit_event_data"]))
    env["RUNNER_ONLY_FAILED_EVENTS"] = str(bool(parameters["only_failed_event_data"]))
    configured = env.get("ANSIBLE_CACHE_PLUGIN") or config.has("defaults", "fact_caching")
    if job.fact_cache is not None and (job.fact_cache_asked or not configured):
        env["ANSIBLE_CACHE_PLUGIN"] = "jsonfile"
        env["ANSIBLE_CACHE_PLUGIN_CONNECTION"] = path_map.inside(places.artifact_dir / job.fact_cache)
    return env


def _add_roles(env: dict[str, str], config: AnsibleConfig, roles: Callable[[str], str]) -> None:
    """Our directories of roles come first, and hide no other."""
    given = env.get("ANSIBLE_ROLES_PATH") or ""
    found = roles(given)
    if found and given in ("", OWN_ROLES):
        found = f"{found}:{config.paths('defaults', 'roles_path', _ROLES)}"
    if found:
        env["ANSIBLE_ROLES_PATH"] = found


def bare_environment_filled(env: Mapping[str, str], private_data_dir: str) -> dict[str, str]:
    """``env``, completed with what Ansible cannot do without."""
    filled = dict(env)
    if not filled.get("HOME"):
        filled["HOME"] = _home(private_data_dir)
    if not _is_usable_locale(filled):
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


def _is_usable_locale(env: Mapping[str, str]) -> bool:
    """Whether the locale of ``env`` is one of UTF-8, and this machine has it: Ansible refuses any other."""
    names = {value for name, value in env.items() if (name == "LANG" or name.startswith("LC_")) and value}
    effective = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    if not effective.lower().replace("-", "").endswith("utf8"):
        return False
    return all(map(_is_locale, [env["LC_ALL"]] if env.get("LC_ALL") else names))


@functools.cache
def _is_locale(name: str) -> bool:
    """newlocale(3). If it cannot be asked, the locale is believed to be there."""
    try:
        libc = ctypes.CDLL(None)
        libc.newlocale.restype = ctypes.c_void_p
        libc.freelocale.argtypes = [ctypes.c_void_p]
        made = libc.newlocale(_LC_ALL_MASK, os.fsencode(name), None)
    except (AttributeError, OSError, ValueError):
        return True
    if made:
        libc.freelocale(made)
    return bool(made)
