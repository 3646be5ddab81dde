"""The commands of ``worktype``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .help import Command, Group
from .options import add_options, bare_option, complete, sections
from .output import complain, say

__all__ = ["worktype"]

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def worktype() -> None:
    """Make a node offer the worker as a worktype."""


@worktype.command(
    "print", cls=Command, examples=("receptor-runner worktype print > receptor.conf.d/receptor-runner.yml",)
)
@bare_option("--name", default="receptor-runner", help="Name of the worktype.")
@bare_option("--signed", is_flag=True, help="Take signed work only.")
def print_fragment(name: str, signed: bool) -> int:
    """Print the work-command for this machine.

    It is for a file in receptor.conf.d, or for the daemon's configuration.
    """
    from ..receptor.worktype import RESTART, fragment

    click.echo(fragment(name, signed=signed), nl=False)
    complain(RESTART)
    return 0


@worktype.command(
    cls=Command,
    examples=("receptor-runner worktype render receptor.conf.d --base node.yml --out /etc/receptor/receptor.conf",),
)
@click.argument("directory", metavar="DIR")
@bare_option("--base", metavar="FILE", help="A configuration that comes first: node, listeners, peers.")
@bare_option("--out", metavar="FILE", help="Write FILE as a whole. [default: standard output]")
@bare_option("--flags", "as_flags", is_flag=True, help="Print --config options for the daemon instead.")
def render(directory: str, base: str | None, out: str | None, as_flags: bool) -> int:
    """Join the .yml files of DIR into one configuration.

    The daemon reads no directory. What is joined is checked.
    """
    from ..receptor.worktype import RESTART, flags, fragments
    from ..receptor.worktype import render as render_files

    if out and as_flags:
        raise click.UsageError("--flags prints; it has no --out")
    files = fragments(directory, base)
    text = flags(files) if as_flags else render_files(files, out)
    if out is None:
        click.echo(text, nl=False)
    complain(RESTART)
    return 0


_where = sections(
    "This command",
    bare_option("--config", metavar="FILE", default="/etc/receptor/receptor.conf", help="The daemon's configuration."),
    bare_option(
        "--drop-ins",
        metavar="DIR",
        default="/etc/systemd/system/receptor.service.d",
        help="The drop-ins of the daemon's systemd unit.",
    ),
)


def _place(function: F) -> F:
    """The options that say where the daemon's files are."""
    return add_options(function, _where)  # type: ignore[no-any-return]


@worktype.command(
    cls=Command,
    examples=(
        "python3 -m venv /opt/receptor-runner/1.0",
        "/opt/receptor-runner/1.0/bin/pip install 'receptor-runner[ansible]'",
        "/opt/receptor-runner/1.0/bin/receptor-runner worktype install",
    ),
)
@bare_option("--name", default="receptor-runner", help="Name of the worktype.")
@bare_option("--signed", is_flag=True, help="Take signed work only.")
@_place
def install(name: str, signed: bool, config: str, drop_ins: str) -> int:
    """Put this environment's worker into the daemon's configuration.

    The environment must have a directory of its own beside those of other versions. Installing another version switches
    to it: jobs that run keep theirs.
    """
    from ..receptor.installation import Installation

    for step in Installation.of_this_environment(config, drop_ins).install(name, signed=signed):
        say(step)
    return 0


@worktype.command(cls=Command, examples=("receptor-runner worktype switch /opt/receptor-runner/1.0",))
@click.argument("environment", metavar="ENVIRONMENT", shell_complete=complete("directories"))
def switch(environment: str) -> int:
    """Let new jobs have the worker of another environment.

    The daemon need not restart, and jobs that run keep theirs.
    """
    from ..receptor.installation import Installation

    say(Installation.of_this_environment("", "").switch(Path(environment)))
    return 0


@worktype.command(cls=Command, examples=("receptor-runner worktype uninstall",))
@_place
def uninstall(config: str, drop_ins: str) -> int:
    """Take the worker out of the daemon's configuration.

    The environments stay, and so do jobs that run.
    """
    from ..receptor.installation import Installation

    for step in Installation.of_this_environment(config, drop_ins).uninstall():
        say(step)
    return 0
