"""The commands ``worktype print`` and ``worktype render``."""

from __future__ import annotations

import click

from .help import Command
from .options import bare_option
from .output import complain

__all__ = ["worktype"]


@click.group()
def worktype() -> None:
    """Make a node offer the worker as a worktype."""


@worktype.command(
    "print", cls=Command, examples=("receptor-runner worktype print > receptor.conf.d/receptor-runner.yml",)
)
@bare_option("--name", default="receptor-runner", help="Name of the worktype.")
@bare_option("--signed", is_flag=True, help="Take signed work only.")
def print_fragment(name: str, signed: bool) -> int:
    """Print the work-command for this machine, for a file in receptor.conf.d."""
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
    """Join the .yml files of DIR into one checked configuration, because the daemon reads no directory."""
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
