"""The command ``kill``.

Rules: it says that something was ended only if that was shown."""

from __future__ import annotations

import click

from ..errors import Interrupted
from .context import name_job
from .mesh_options import OtherOptions, SocketOptions, chosen_job, other_options, socket_options
from .options import bare_option, command, job_argument, log_options
from .output import complain, say

__all__ = ["kill"]


@command(
    examples=(
        "receptor-runner kill nightly --host db3",
        "receptor-runner kill --node exec1 --unit 8T3nXqYd --host db3",
    ),
    ends="0 if Ansible has reported the host. 64: the job has ended. 66: there is no such job. 69: its node cannot be "
    "reached. 70: it cannot be shown. 77: nothing was done, because another host could feel it, or nothing runs for "
    "this one. 130: interrupted, and the host may have been ended.",
)
@job_argument(required=False)
@other_options
@bare_option("--host", required=True, metavar="HOST", help="The host, as the inventory names it.")
@socket_options
@log_options
def kill(*, job: str | None, other: OtherOptions, host: str, at: SocketOptions) -> int:
    """End what a job does for one host now.

    Ansible reports that host as failed and goes on with the others. To end the whole job: receptor-runner cancel.
    """
    from ..system.signals import stop_on_signals

    if not host.strip():
        raise click.UsageError("--host needs the name of a host")
    name_job(str(job or other.unit))
    with stop_on_signals() as flag:
        try:
            ending = chosen_job(job, other, at, flag).end_host(host, flag)
        except Interrupted as exc:
            exc.hint = "the host may have been ended: receptor-runner inspect shows it"
            raise
    say(f"{host} failed: {ending.task}" if ending.task else f"{host} failed")
    if ending.left:
        complain(f"these processes could not be ended: {', '.join(ending.left)}")
    return 0
