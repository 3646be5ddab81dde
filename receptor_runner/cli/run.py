"""The command ``run``.

Rules: a socket or a node that is named is used, or the command fails with 69. With neither, a private embedded node
runs the job, in DIR itself unless a copy is asked for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .context import name_job
from .following import (
    FOLLOW_STOPS,
    FollowOptions,
    check_view,
    exit_status,
    follow,
    submit_and_leave,
    submit_job,
    told_sinks,
)
from .help import JOB_ENDS
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
from .options import (
    LimitOptions,
    PrintOptions,
    SinkOptions,
    bare_option,
    command,
    directory_argument,
    limit_options,
    log_options,
    output_option,
    print_options,
    sink_options,
    view_option,
)
from .output import job_printer

if TYPE_CHECKING:
    from ..mesh.job import Job
    from ..mesh.submitted import SubmittedJob
    from ..system.forking import Standby
    from ..system.signals import StopFlag

__all__ = ["run"]


@command(
    examples=(
        "receptor-runner run demo -p site.yml -C -D",
        "receptor-runner run demo -p site.yml --node exec1 -l web -e version=7",
    ),
    ends=JOB_ENDS,
)
@directory_argument
@job_options
@print_options
@view_option
@sink_options
@limit_options
@route_options
@payload_options
@lost_after_option
@socket_options
@log_options
@output_option
@bare_option("--detach", is_flag=True, help="Only submit the job, and print its id.")
@again_option
@bare_option("--copy", is_flag=True, help="On this machine, work on a copy of DIR, as a node would.")
def run(  # noqa: PLR0913 - a group of options each
    *,
    directory: str,
    what: JobOptions,
    printing: PrintOptions,
    view: bool,
    told: SinkOptions,
    limits: LimitOptions,
    to: RouteOptions,
    payload: PayloadOptions,
    lost_after: float,
    at: SocketOptions,
    output: str,
    detach: bool,
    again: bool,
    copy: bool,
) -> int:
    """Run a job here, or on a node of the mesh.

    The job is in the private data dir DIR. If neither a node nor a socket is named, it runs on this machine, in DIR
    itself. Ctrl-C cancels it, and a second one stops waiting.
    """
    from ..results.artifact_dir import writable
    from ..system.signals import ignore_signals, stop_on_signals

    check_view(view)
    printer = job_printer(printing, output)
    local = not (to.node or at.given)
    if local and not to.unsaid:
        raise click.UsageError("--worktype, --ttl and --signwork are for a mesh: name it with --socket or --node")
    if local and (payload.seal or payload.seal_results):
        raise click.UsageError("--seal and --seal-results are for a mesh: name it with --socket or --node")
    in_place = local and not copy
    with _standby() if in_place else contextlib.nullcontext() as standby:
        job = what.job(directory, in_place=in_place)
        name_job(job.ident)

        start: Callable[..., SubmittedJob]
        if in_place:
            start = functools.partial(_start_here, job, standby)
        else:
            start = functools.partial(_start_there, job, None if local else at, to, payload)
        if detach:
            if told.sinks:
                raise click.UsageError("--sink needs somebody who follows the job; give it to receptor-runner attach")
            return submit_and_leave(functools.partial(start, again=again), output)
        with (
            stop_on_signals(*FOLLOW_STOPS) as flag,
            told_sinks(told, job.ident, job.secrets) as sinks,
        ):
            with writable(job.artifact_dir):
                submitted = start(flag, again=True)
            try:
                code = follow(submitted, printer, flag, FollowOptions(limits, lost_after, sinks, view))
            finally:
                ignore_signals()
                submitted.forget_finished()
    return exit_status(submitted, printer, printing, output, code)


def _standby() -> contextlib.AbstractContextManager[Standby | None]:
    from ..system.forking import can_fork
    from .worker import standby_runner

    return standby_runner() if can_fork() else contextlib.nullcontext()


def _start_here(job: Job, standby: Standby | None, flag: StopFlag, *, again: bool) -> SubmittedJob:
    """On this machine, in the private data dir itself."""
    from ..mesh.in_place import start_in_place

    return start_in_place(job, again=again, flag=flag, standby=standby)


def _start_there(
    job: Job, at: SocketOptions | None, to: RouteOptions, payload: PayloadOptions, flag: StopFlag, *, again: bool
) -> SubmittedJob:
    """On a node of the mesh, or on a private one of this machine, which works on a copy."""
    from ..mesh.client import Mesh

    job.check()
    return submit_job(Mesh.private() if at is None else at.mesh(), job, to, payload, flag, again=again)
