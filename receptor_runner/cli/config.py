"""The command ``config``."""

from __future__ import annotations

import os
from typing import Any

import click

from .config_file import Configuration, configurable, configuration, user_file
from .help import Command, Group, Option
from .options import output_option
from .output import print_json, say

__all__ = ["config"]


@click.group(cls=Group)
def config() -> None:
    """Show where options get their values from."""


@config.command(cls=Command, examples=("receptor-runner config show", "receptor-runner config show -o json"))
@output_option
@click.pass_context
def show(ctx: click.Context, output: str) -> int:
    """Print every value that can be configured, and where it is from.

    An option of a command line wins over a variable, that over ./receptor-runner.toml, and that over the user's file.
    """
    found = configuration()
    values = {name: _value(name, param, found) for name, param in _all_options(ctx).items()}
    if output == "json":
        meshes = {
            name: {key: {"value": one.value, "source": one.file} for key, one in mesh.items()}
            for name, mesh in found.meshes.items()
        }
        print_json({"file": user_file(), "defaults": values, "meshes": meshes})
        return 0
    for name, one in values.items():
        say(f"{name} = {_shown(one['value'])}  # {one['source']}")
    for name, mesh in found.meshes.items():
        say(f"[mesh.{name}]")
        for key, given in mesh.items():
            say(f"{key} = {_shown(given.value)}  # {given.file}")
    return 0


def _all_options(ctx: click.Context) -> dict[str, Option]:
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    found: dict[str, Option] = {}
    for name in group.list_commands(ctx):
        found.update(configurable(group.get_command(ctx, name)))
    return dict(sorted(found.items()))


def _value(name: str, param: Option, found: Configuration) -> dict[str, Any]:
    for variable in param.variables:
        if os.environ.get(variable):
            return {"value": _masked(os.environ[variable]), "source": f"variable {variable}"}
    if name in found.defaults:
        given = found.defaults[name]
        return {"value": _masked(given.value), "source": given.file}
    default = param.default if isinstance(param.default, (str, int, float, bool)) else None
    return {"value": [] if param.multiple and default is None else default, "source": "built in"}


def _shown(value: Any) -> str:
    """As TOML would have it."""
    import json

    return "(none)" if value is None else json.dumps(value, default=str)


def _masked(value: Any) -> Any:
    """A value without the secrets in it: what is shown here goes into tickets."""
    from ..preparation.masking import Masker

    if isinstance(value, list):
        return [_masked(one) for one in value]
    return Masker([]).text(value) if isinstance(value, str) else value
