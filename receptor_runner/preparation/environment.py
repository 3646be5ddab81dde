"""The environment of a job's command.

Rules: what the job asks for wins over what the worker was started with, and what we need wins over both (the order of
ansible_runner/config/_base.py). A daemon's environment is bare, so a UTF-8 locale, a home and a PATH that finds
Ansible are added. In a container, the environment begins with that of the image, and paths are those of the container.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import pwd
import re
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from ..isolation.path_map import PathMap
from ..job.parameters import Parameters
from ..job.private_data import PrivateDataDir

__all__ = ["CALLBACK_PLUGIN", "KEY_FILE_VARIABLE", "bare_environment_filled", "job_environment"]

CALLBACK_PLUGIN = Path(__file__).parents[1] / "callback" / "receptor_runner.py"
#: Tells the callback plugin where its key is. The file is gone once the plugin has read it.
KEY_FILE_VARIABLE = "RECEPTOR_RUNNER_KEY_FILE"


def job_environment(
    asked: Mapping[str, str],
    parameters: Parameters,
    private_data: PrivateDataDir,
    path_map: PathMap,
    runtime: Path,
    artifact_dir: Path,
) -> dict[str, str]:
    """``asked``, completed with what we need."""
    env = dict(asked)
    own = path_map.inside(runtime / "callback")
    env["ANSIBLE_CALLBACK_PLUGINS"] = f"{_callback_path(env, private_data.cwd, path_map)}:{own}"
    env["ANSIBLE_RETRY_FILES_ENABLED"] = "False"
    env.setdefault("ANSIBLE_HOST_KEY_CHECKING", "False")
    env["AWX_ISOLATED_DATA_DIR"] = path_map.inside(artifact_dir)
    if parameters["module"] and not parameters["binary"]:
        env["ANSIBLE_LOAD_CALLBACK_PLUGINS"] = "1"
        env.setdefault("AD_HOC_COMMAND_ID", "1")
    env["RUNNER_OMIT_EVENTS"] = str(bool(parameters["omit_event_data"]))
    env["RUNNER_ONLY_FAILED_EVENTS"] = str(bool(parameters["only_failed_event_data"]))
    return env


def bare_environment_filled(env: Mapping[str, str], private_data_dir: str) -> dict[str, str]:
    """``env``, completed with what Ansible cannot do without."""
    filled = dict(env)
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


def _callback_path(env: Mapping[str, str], cwd: Path, path_map: PathMap) -> str:
    """The user's callback plugin path, wherever it is configured. The variable that we set would hide it."""
    given = env.get("ANSIBLE_CALLBACK_PLUGINS")
    if given:
        return given
    ansible_home = env.get("ANSIBLE_HOME") or f"{env.get('HOME', '~')}/.ansible"
    default = f"{ansible_home}/plugins/callback:/usr/share/ansible/plugins/callback"
    return _configured_callback_path(env, cwd, path_map) or default


def _configured_callback_path(env: Mapping[str, str], cwd: Path, path_map: PathMap) -> str | None:
    """``callback_plugins`` of the ansible.cfg in effect, read as Ansible does (ansible/config/manager.py)."""
    config = _ansible_config(env, cwd, path_map)
    if config is None:
        return None
    parser = configparser.ConfigParser(interpolation=None, strict=False, inline_comment_prefixes=(";",))
    try:
        parser.read(config, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    value = parser.get("defaults", "callback_plugins", fallback="").strip().strip("\"'")
    seen_cwd, seen_config = path_map.inside(cwd), path_map.inside(config.parent)
    parts = [_expanded(part.strip(), env, seen_cwd) for part in value.split(":") if part.strip()]
    return ":".join(os.path.join(seen_config, part) for part in parts) or None


def _ansible_config(env: Mapping[str, str], cwd: Path, path_map: PathMap) -> Path | None:
    """The file that Ansible would read: the first one that exists, except in a directory that anybody may write.
    Nothing is known of files in an image.
    """
    named = env.get("ANSIBLE_CONFIG")
    candidates = []
    if named:
        path = cwd / path_map.outside(_expanded(named, env, path_map.inside(cwd)))
        candidates.append(path / "ansible.cfg" if path.is_dir() else path)
    with contextlib.suppress(OSError):
        if not cwd.stat().st_mode & stat.S_IWOTH:
            candidates.append(cwd / "ansible.cfg")
    if not path_map.own_root:
        candidates += [Path(env.get("HOME", "/"), ".ansible.cfg"), Path("/etc/ansible/ansible.cfg")]
    return next((path for path in candidates if path.is_file()), None)


def _expanded(path: str, env: Mapping[str, str], cwd: str) -> str:
    """``{{CWD}}``, ``$VARIABLES`` of the job and ``~``."""
    path = path.replace("{{CWD}}", cwd)
    path = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: env.get(found[1] or found[2], found[0]), path)
    home = env.get("HOME", "~")
    return home + path[1:] if path == "~" or path.startswith("~/") else path
