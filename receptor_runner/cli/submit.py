"""The command ``submit``."""

from __future__ import annotations

import click

from .context import name_job
from .following import submit_and_leave, submit_job, submit_to_several
from .job_options import JobOptions, job_options
from .mesh_options import (
    PayloadOptions,
    RouteOptions,
    SocketOptions,
    again_option,
    lost_after_option,
    payload_options,
    route_options,
    socket_options,
)  # fmt: skip
from .options import bare_option, command, complete, directory_argument, log_options, output_option, sections

__all__ = ["submit"]

(to_option,) = sections(
    "Mesh",
    bare_option(
        "--to",
        "several",
        multiple=True,
        metavar="NODE",
        shell_complete=complete("nodes"),
        help="Submit the job to this node, and to every other that is given so.",
    ),
)


@command(
    examples=(
        "receptor-runner submit demo -p site.yml --node exec1 -i nightly",
        "receptor-runner submit demo -p site.yml --to exec1 --to exec2 -i all --delta",
        "receptor-runner attach nightly",
    ),
)
@directory_argument
@job_options
@route_options
@payload_options
@lost_after_option
@socket_options
@log_options
@output_option
@again_option
@to_option
def submit(  # noqa: PLR0913 - a group of options each
    *,
    directory: str,
    what: JobOptions,
    to: RouteOptions,
    payload: PayloadOptions,
    lost_after: float,
    at: SocketOptions,
    output: str,
    again: bool,
    several: tuple[str, ...],
) -> int:
    """Hand a job to the mesh, and leave.

    The id of the job is printed when a node has accepted it. The job is in the private data dir DIR. With --to, it
    becomes a job for each node, called by its own id and that of the node.
    """
    job = what.job(directory)
    name_job(job.ident)
    mesh = at.mesh()
    if several:
        if to.node:
            raise click.UsageError("give --node, or --to for several nodes, not both")
        return submit_to_several(mesh, job, several, to, payload, output, again=again)
    return submit_and_leave(lambda flag: submit_job(mesh, job, to, payload, flag, again=again), output)
