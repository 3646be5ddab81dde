"""The command ``wait``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .help import JOB_ENDS
from .options import bare_option, command, job_argument, log_options, output_option
from .views import chosen, show_each

if TYPE_CHECKING:
    from ..records.record import Record

__all__ = ["wait"]


@command(
    examples=(
        "receptor-runner wait nightly weekly",
        "receptor-runner wait nightly --timeout 600",
    ),
    ends=JOB_ENDS,
)
@job_argument("names", "JOB...", nargs=-1)
@bare_option("--all", "everyone", is_flag=True, help="Every job.")
@bare_option("--timeout", type=float, metavar="SECONDS", help="Stop waiting after so long. [default: never]")
@output_option
@log_options
def wait(names: tuple[str, ...], everyone: bool, timeout: float | None, output: str) -> int:
    """Wait until jobs have ended, and exit as the worst of them did."""
    from ..mesh.client import Mesh
    from ..system.signals import stop_on_signals

    until = None if timeout is None else time.monotonic() + timeout
    with stop_on_signals() as flag:

        def waited(name: str) -> Record:
            left = None if until is None else max(0.0, until - time.monotonic())
            return Mesh.job(name).wait(left, flag)

        return show_each(chosen(names, everyone, lambda job: True), waited, output, own_codes=True)
