"""The commands ``serve``, ``worktype print`` and ``worktype render``.

Rules: as for the package.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import click

from .options import log_options, option

__all__ = ["serve", "worktype"]


@click.command()
@option("--config", "-c", "files", multiple=True, metavar="FILE", help="A configuration file, or a directory of them.")
@option("--socket", metavar="PATH", help="Where to serve, without --config. [default: in the state directory]")
@click.option("--protocol", type=click.Choice(["1.4", "1.5"]), default="1.4", help="Which daemon's manners to have.")
@click.option("--private", metavar="DIR", hidden=True, help="Serve DIR/receptor.yml until idle, and remove DIR.")
@log_options
def serve(files: tuple[str, ...], socket: str | None, protocol: str, private: str | None, **_: Any) -> int:
    """Be a Receptor node for this machine: the embedded node, with the daemon's control service on a Unix socket."""
    from ..node.config import configure
    from ..node.defaults import config_files, default_config
    from ..node.server import Node

    if private is not None:
        files = (os.path.join(private, "receptor.yml"),)
    config = configure(config_files(files)) if files else default_config(socket)
    node = Node(config, held_results=protocol == "1.5", until_idle=private is not None)

    def ready() -> None:
        if private is not None:
            os.write(1, b"ready\n")
            _detach_output()
            return
        from .main import complain

        complain(f"node {config.node} serves on {config.socket}")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await node.serve(ready, stop)

    asyncio.run(run())
    if private is not None and not node.units.ids():
        from ..system.removal import remove_tree

        remove_tree(private)
    return 0


def _detach_output() -> None:
    """Who started a private node may be gone when it has something to say."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)


@click.group()
def worktype() -> None:
    """Make a node offer the worker as a worktype."""


@worktype.command("print")
@click.option("--name", default="receptor-runner", help="Name of the worktype. [default: receptor-runner]")
@click.option("--signed", is_flag=True, help="Take signed work only.")
def print_fragment(name: str, signed: bool) -> int:
    """Print the work-command for this machine, for a file in receptor.conf.d."""
    from ..receptor.worktype import RESTART, fragment
    from .main import complain

    click.echo(fragment(name, signed=signed), nl=False)
    complain(RESTART)
    return 0


@worktype.command()
@click.argument("directory", metavar="DIR")
@click.option("--base", metavar="FILE", help="A configuration that comes first: node, listeners, peers.")
@click.option("--out", metavar="FILE", help="Write FILE as a whole. [default: standard output]")
@click.option("--flags", "as_flags", is_flag=True, help="Print --config options for the daemon instead.")
def render(directory: str, base: str | None, out: str | None, as_flags: bool) -> int:
    """Join the *.yml in DIR into one configuration, checked, because the daemon reads no directory."""
    from ..receptor.worktype import RESTART, flags, fragments
    from ..receptor.worktype import render as render_files
    from .main import complain

    if out and as_flags:
        raise click.UsageError("--flags prints; it has no --out")
    files = fragments(directory, base)
    text = flags(files) if as_flags else render_files(files, out)
    if out is None:
        click.echo(text, nl=False)
    complain(RESTART)
    return 0
