"""The command ``submit``."""

from __future__ import annotations

from .context import name_job
from .following import submit_and_leave, submit_job
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
from .options import command, directory_argument, log_options, output_option

__all__ = ["submit"]


@command(
    examples=(
        "receptor-runner submit demo -p site.yml --node exec1 -i nightly",
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
) -> int:
    """Hand a job to the mesh, and leave.

    The id of the job is printed when a node has accepted it. The job is in the private data dir DIR.
    """
    job = what.job(directory)
    name_job(job.ident)
    mesh = at.mesh()
    return submit_and_leave(lambda flag: submit_job(mesh, job, to, payload, flag, again=again), output)
