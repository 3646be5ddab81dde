"""The command ``attach``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .context import name_job
from .following import FOLLOW_STOPS, FollowOptions, check_view, exit_status, follow, told_sinks
from .help import JOB_ENDS
from .mesh_options import OtherOptions, SocketOptions, lost_after_option, other_options, socket_options
from .options import (
    LimitOptions,
    PrintOptions,
    SinkOptions,
    bare_option,
    command,
    job_argument,
    limit_options,
    log_options,
    option,
    output_option,
    print_options,
    sink_options,
    view_option,
)
from .output import job_printer

if TYPE_CHECKING:
    from ..mesh.submitted import SubmittedJob
    from ..system.signals import StopFlag

__all__ = ["attach"]


@command(
    examples=(
        "receptor-runner attach nightly",
        "receptor-runner attach --node exec1 --unit 8T3nXqYd --private-data-dir demo",
    ),
    ends=JOB_ENDS,
)
@job_argument(required=False)
@other_options
@option("-i", "--ident", help="The name that it gets here. [default: its work unit]")
@bare_option("--private-data-dir", default=".", metavar="DIR", help="Where its artifacts go. [default: .]")
@socket_options
@print_options
@view_option
@sink_options
@limit_options
@log_options
@output_option
@lost_after_option
def attach(  # noqa: PLR0913 - a group of options each
    *,
    job: str | None,
    other: OtherOptions,
    ident: str | None,
    private_data_dir: str,
    at: SocketOptions,
    printing: PrintOptions,
    view: bool,
    told: SinkOptions,
    limits: LimitOptions,
    output: str,
    lost_after: float,
) -> int:
    """Follow a submitted job, or take one over.

    JOB goes on from where its last follower stopped. Ctrl-C cancels it; SIGHUP leaves it alone. With --unit U and
    --node N, the job that another controller submitted gets a record here and is followed from its beginning.
    """
    from ..job.secrets import known_secrets
    from ..mesh.client import Mesh
    from ..system.signals import ignore_signals, stop_on_signals

    other.check(job)
    name_job(str(job or ident or other.unit))

    def found(flag: StopFlag) -> SubmittedJob:
        if job is not None:
            return Mesh.job(job)
        return at.mesh().adopt(
            str(other.node), str(other.unit), ident=ident, private_data_dir=private_data_dir, flag=flag
        )

    check_view(view)
    printer = job_printer(printing, output)
    with stop_on_signals(*FOLLOW_STOPS) as flag:
        submitted = found(flag)
        secrets = functools.partial(known_secrets, submitted.record.private_data_dir)
        with told_sinks(told, submitted.id, secrets) as sinks:
            code = follow(submitted, printer, flag, FollowOptions(limits, lost_after, sinks, view))
            ignore_signals()
    return exit_status(submitted, printer, printing, output, code)
