"""The command ``doctor``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from .help import JOB_ENDS
from .mesh_options import SocketOptions, socket_options
from .options import bare_option, command, complete, log_options, option, output_option
from .output import print_json, say
from .progress import progress

if TYPE_CHECKING:
    from ..doctor.finding import Finding
    from ..system.signals import StopFlag

Look: TypeAlias = "Callable[[StopFlag], Iterator[Finding]]"

__all__ = ["doctor"]

_AGAIN_SECONDS = 2.0
#: A healthy node is not called ill because the time was nearly over.
_LEAST_SECONDS = 5.0
_PAGE = "doctor"


@command(
    examples=(
        "receptor-runner doctor",
        "receptor-runner doctor --node exec1",
        "receptor-runner doctor --node exec1 --container-image quay.io/ansible/awx-ee:latest -o json",
        "receptor-runner doctor --node exec1 --wait --timeout 120",
    ),
    ends=f"0 if nothing is at fault, else that of the first fault. {JOB_ENDS.split('. ', 1)[1]}",
)
@option("--node", metavar="NODE", shell_complete=complete("nodes"), help="Where jobs are to run.")
@option("--worktype", metavar="NAME", shell_complete=complete("worktypes"), help="The worktype there.")
@option("--container-image", metavar="IMAGE", help="The image that jobs are to run in.")
@bare_option("--wait", is_flag=True, help="Look again until nothing is at fault.")
@bare_option("--timeout", type=float, default=300.0, metavar="SECONDS", help="How long --wait waits.")
@socket_options
@output_option
@log_options
def doctor(  # noqa: PLR0913 - options by keyword
    *,
    node: str | None,
    worktype: str | None,
    container_image: str | None,
    wait: bool,
    timeout: float,
    at: SocketOptions,
    output: str,
) -> int:
    """Check everything between here and a job on a node.

    Each finding says what it means and what to do. The page doctor of the documentation has more on each.
    """
    from ..doctor.examination import TRIAL_SECONDS, examine
    from ..system.signals import stop_on_signals

    until = time.monotonic() + timeout

    def look(flag: StopFlag) -> Iterator[Finding]:
        mesh = at.mesh if at.given else None
        seconds = min(TRIAL_SECONDS, max(_LEAST_SECONDS, until - time.monotonic())) if wait else TRIAL_SECONDS
        return examine(mesh, node, worktype=worktype, image=container_image, seconds=seconds, flag=flag)

    with stop_on_signals() as flag:
        findings = iter(_well(look, until, flag)) if wait else look(flag)
        found = list(_shown(findings) if output == "text" else findings)
    code = next((finding.exit_code for finding in found if finding.exit_code), 0)
    if output == "json":
        print_json({"ok": code == 0, "exit_code": code, "findings": [finding._asdict() for finding in found]})
    return code


def _well(look: Look, until: float, flag: StopFlag) -> list[Finding]:
    """What is found when nothing is at fault, or at the end of the time, in ``time.monotonic()``."""
    from ..system.signals import pause

    line = progress("doctor")
    try:
        while True:
            found = list(look(flag))
            first = next((finding for finding in found if finding.exit_code), None)
            if first is None or time.monotonic() >= until:
                return found
            line.state(f"waits, {first.check}")
            pause(flag, min(_AGAIN_SECONDS, max(0.0, until - time.monotonic())))
    finally:
        line.close()


def _shown(findings: Iterator[Finding]) -> Iterator[Finding]:
    """The same, each printed as it comes, below the name of its group."""
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            say(group)
        say(f"  {finding.level:8} {finding.text}")
        if finding.advice:
            say(f"{'':11}-> {finding.advice}  ({_PAGE}#{finding.check})")
        yield finding
