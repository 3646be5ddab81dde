"""The command ``serve``.

Rules: a private node (``--private``) says on standard output when it serves, and nothing after that, because the
process that started it may be gone. The option is part of the configuration that older versions left on disk."""

from __future__ import annotations

import asyncio
import os
import signal

import click

from .options import bare_option, command, log_options, option
from .output import complain

__all__ = ["serve"]


@command(
    examples=(
        "receptor-runner serve",
        "receptor-runner serve --socket /tmp/node.sock -c receptor.conf.d",
    ),
)
@option("--config", "-c", "files", multiple=True, metavar="FILE", help="A configuration file, or a directory of them.")
@option("--socket", metavar="PATH", help="Where to serve, without --config. [default: in the state directory]")
@bare_option("--protocol", type=click.Choice(["1.4", "1.5"]), default="1.4", help="Behave like this daemon.")
@bare_option("--private", metavar="DIR", hidden=True, help="Serve DIR/receptor.yml until idle, and remove DIR.")
@log_options
def serve(files: tuple[str, ...], socket: str | None, protocol: str, private: str | None) -> int:
    """Be a Receptor node for this machine alone.

    The embedded node speaks the protocol of the daemon's control service on a Unix socket. Ctrl-C ends it, and no job.
    """
    from ..node.config import configure
    from ..node.defaults import config_files, default_config
    from ..node.server import Node
    from ..system.descriptors import lift_descriptor_limit
    from ..system.removal import remove_tree

    if private is not None:
        files = (os.path.join(private, "receptor.yml"),)
    lift_descriptor_limit()
    config = configure(config_files(files)) if files else default_config(socket)
    node = Node(config, held_results=protocol == "1.5", until_idle=private is not None)

    def ready() -> None:
        if private is not None:
            os.write(1, b"ready\n")
            _detach_output()
        else:
            complain(f"node {config.node} serves; to use it: export RECEPTORCTL_SOCKET={config.socket}")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await node.serve(ready, stop)

    asyncio.run(run())
    if private is not None and not node.units.ids():
        remove_tree(private)
    return 0


def _detach_output() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)
