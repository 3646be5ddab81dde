"""The configuration files: defaults of options, and meshes by name.

Rules: the user's file comes first, and that of the working directory is put over it. The latter is not read if it is
somebody else's, and options that name programs, secrets or places to write to cannot stand in it. What a file says
wrong is an error that names file and key. A worker reads none, because it runs in a daemon's working directory."""

from __future__ import annotations

import os
import stat
import sys
from functools import cache
from typing import Any, NamedTuple

import click

from ..errors import ConfigurationError
from ..limits import MAX_INPUT_FILE
from ..system.below import read_regular
from .context import COMPLETION
from .help import Option
from .output import complain

__all__ = ["Configuration", "Value", "configurable", "configuration", "default_map", "user_file"]

_NAME = "receptor-runner.toml"
#: What a mesh is described by, and which of it are paths.
_MESH = ("socket", "config", "tls-client", "rootcas", "key", "cert", "insecureskipverify")
_PATHS = ("socket", "config", "rootcas", "key", "cert")
#: What a file of the working directory cannot say.
_TRUSTED = (
    "artifact-dir", "binary", "cmdline", "container-auth-data", "container-option", "key", "log-file", "logfile",
    "sink", "vault-id", "vault-pass-file", "vault-password-file", "webhook-secret-file",
)  # fmt: skip
_SCHEMES = ("tcp:", "tls:", "unix:", "/", "~")


class Value(NamedTuple):
    """A value, and the file that it is from."""

    value: Any
    file: str


class Configuration(NamedTuple):
    """``defaults`` are values by the long names of options; ``meshes`` are the values of each mesh by its name."""

    defaults: dict[str, Value]
    meshes: dict[str, dict[str, Value]]

    def mesh(self, name: str) -> dict[str, Any]:
        """The values of a mesh by the names of the options, with ``_`` for ``-``.

        :raises ConfigurationError: there is no such mesh.
        """
        if name not in self.meshes:
            known = ", ".join(sorted(self.meshes)) or "none"
            default = self.defaults.get("mesh")
            where = f"{default.file}: defaults.mesh: " if default is not None and default.value == name else ""
            raise ConfigurationError(
                f"{where}there is no mesh {name!r} in the configuration; known are: {known}",
                hint=f"describe it as [mesh.{name}] in {user_file()}",
            )
        return {key.replace("-", "_"): found.value for key, found in self.meshes[name].items()}


def user_file() -> str:
    """After the XDG base directory specification; relative values are ignored, as it says."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    base = given if os.path.isabs(given) else os.path.expanduser("~/.config")
    return os.path.join(base, "receptor-runner", "config.toml")


@cache
def configuration() -> Configuration:
    """What the files say.

    :raises ConfigurationError: one of them cannot be used.
    """
    found = Configuration({}, {})
    here = os.path.abspath(_NAME)
    for path in (user_file(), here):
        try:
            if path != here or _is_ours(path):
                _take(found, read_regular(path, MAX_INPUT_FILE), path, anything=path != here)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            if not os.path.lexists(path):
                continue  # a directory on the way is closed to us
            raise ConfigurationError(f"cannot read the configuration {path}: {exc.strerror}") from exc
    return found


def _is_ours(path: str) -> bool:
    """Whether it belongs to this user or root, and not everybody may write to it. A group is trusted: a umask of 002
    is common.

    :raises OSError: it is not there.
    """
    for one in (path, os.path.dirname(path)):
        found = os.stat(one)
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & stat.S_IWOTH:
            if COMPLETION not in os.environ:
                complain(f"{path} is not read: somebody else may write to {one}")
            return False
    return True


def _take(found: Configuration, content: bytes, path: str, *, anything: bool) -> None:
    data = _parsed(content, path)
    for name in data:
        if name not in ("defaults", "mesh"):
            raise ConfigurationError(f"{path}: {name!r} is not known; there are [defaults] and [mesh.NAME]")
    for key, value in _table(data.get("defaults", {}), path, "defaults").items():
        if key in _TRUSTED and not anything:
            raise ConfigurationError(
                f"{path}: defaults.{key} counts in {user_file()} only: it names a program, a secret or a place"
            )
        found.defaults[key] = Value(value, path)
    for name, given in _table(data.get("mesh", {}), path, "mesh").items():
        where = f"mesh.{name}"
        values = {}
        for key, value in _table(given, path, where).items():
            if key not in _MESH:
                raise ConfigurationError(f"{path}: {where}.{key} is not known; a mesh has {', '.join(_MESH)}")
            if isinstance(value, bool) is not (key == "insecureskipverify") or not isinstance(value, (str, bool)):
                raise ConfigurationError(f"{path}: {where}.{key} cannot be {value!r}")
            values[key] = Value(_placed(key, value, path), path)
        found.meshes[name] = values


def _parsed(content: bytes, path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))
        return found
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{path} is not TOML: {exc}") from exc


def _table(value: object, path: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: {where} is not a table; write [{where}] on a line of its own")
    return value


def _placed(key: str, value: Any, path: str) -> Any:
    """Relative paths are relative to the file."""
    if key in _PATHS and not value.startswith(_SCHEMES):
        return os.path.join(os.path.dirname(path), value)
    return value


def default_map(ctx: click.Context, group: click.Group, name: str) -> dict[str, Any]:
    """The defaults for the command ``name``, by the names of its parameters.

    :raises ConfigurationError: an option is not known to any command, or cannot have this value.
    """
    defaults = configuration().defaults
    if not defaults:
        return {}
    found: dict[str, Any] = {}
    own = configurable(group.get_command(ctx, name))
    for key, (value, path) in defaults.items():
        if key in own:
            found[str(own[key].name)] = _checked(own[key], value, f"{path}: defaults.{key}", ctx)
        else:
            every = (configurable(group.get_command(ctx, one)) for one in group.list_commands(ctx))
            other = next((options[key] for options in every if key in options), None)
            if other is None:
                raise ConfigurationError(
                    f"{path}: defaults.{key} is no option that can be configured",
                    hint="receptor-runner config show lists them",
                )
            _checked(other, value, f"{path}: defaults.{key}", ctx)
    return found


def configurable(command: click.Command | None) -> dict[str, Option]:
    """The options of a command that have a variable, by their long names."""
    params = command.params if command is not None else []
    return {
        name.lstrip("-"): param
        for param in params
        if isinstance(param, Option) and param.envvar
        for name in param.opts
        if name.startswith("--")
    }


def _checked(param: click.Option, value: Any, where: str, ctx: click.Context) -> Any:
    given = [value] if param.multiple and not isinstance(value, list) else value
    try:
        if not isinstance(value, (str, int, float, list)):
            raise click.BadParameter(f"a text, number or list is wanted, not {value!r}")
        if isinstance(value, list) and not param.multiple:
            raise click.BadParameter("one value is wanted")
        param.type_cast_value(ctx, given)
    except click.BadParameter as exc:
        raise ConfigurationError(f"{where}: {exc.message}") from exc
    return given
