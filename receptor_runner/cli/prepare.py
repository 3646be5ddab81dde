"""The command ``prepare``: nodes are warmed for jobs to come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..errors import exit_code_of
from .mesh_options import SocketOptions, socket_options
from .options import bare_option, command, complete, log_options
from .output import complain, say, text_of

if TYPE_CHECKING:
    from ..mesh.preparing import NodePrepared

__all__ = ["prepare"]


@command(
    examples=(
        "receptor-runner prepare exec1 exec2 demo",
        "receptor-runner prepare exec1 --image quay.io/ansible/awx-ee:latest",
    ),
)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE... [DIR]", shell_complete=complete("nodes"))
@bare_option("--image", "images", multiple=True, metavar="IMAGE", help="Pull this image, if it is not there.")
@bare_option("--engine", default="podman", show_default=True, help="What pulls images.")
@bare_option("--worktype", metavar="NAME", help="The worktype there. [default: receptor-runner, else ansible-runner]")
@socket_options
@log_options
def prepare(
    nodes: tuple[str, ...],
    images: tuple[str, ...],
    engine: str,
    worktype: str | None,
    at: SocketOptions,
) -> int:
    """Warm nodes for jobs to come, and run nothing.

    The files of the private data dir DIR go into the store of every NODE, and images are pulled, on several nodes at
    once. A job with --delta then sends only what has changed since.
    """
    from ..mesh.job import Job
    from ..system.signals import stop_on_signals
    from .progress import progress

    directory = nodes[-1] if os.path.isdir(nodes[-1]) else None
    names = list(dict.fromkeys(nodes[:-1] if directory is not None else nodes))
    if not names:
        raise click.UsageError("name at least one node")
    if directory is None and not images:
        raise click.UsageError(f"there is no directory {nodes[-1]}, and no --image: nothing is to be prepared")
    job = Job(directory) if directory is not None else None
    line = progress(names[0] if len(names) == 1 else f"{len(names)} nodes")

    def tell(one: NodePrepared) -> None:
        with line.lock:
            line.clear()
            _tell(one)

    try:
        with stop_on_signals() as flag:
            answers = at.mesh().prepare(
                names,
                job,
                images=images,
                engine=engine,
                worktype=worktype,
                flag=flag,
                told=tell,
                progress=line.sent,
            )
    finally:
        line.close()
    failed = [exit_code_of(one.error) for one in answers if one.error is not None]
    return max(failed, default=0 if all(one.ready for one in answers) else 69)


def _tell(one: NodePrepared) -> None:
    """A line for each node, as it is done."""
    if one.error is not None:
        complain(f"{one.node}: {text_of(one.error)}")
        return
    said = [f"sent {one.sent} bytes", *(f"{image}: {what}" for image, what in one.images.items())]
    (say if one.ready else complain)(f"{one.node}: {'; '.join(said)}")
