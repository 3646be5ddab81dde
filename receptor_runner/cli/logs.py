"""The command ``logs``.

Rules: nothing is saved, and who follows the job is not disturbed. What the node still has is read there. Otherwise the
artifacts have it."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, NamedTuple

from ..errors import OutputClosedError
from .context import name_job
from .job_source import read_job
from .options import ShowOptions, bare_option, command, job_argument, log_options, show_options
from .output import complain, job_printer, printed

if TYPE_CHECKING:
    from ..stream.messages import JSONObject

__all__ = ["logs"]

_FAILURES = ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed", "runner_on_async_failed")


class _Filter(NamedTuple):
    """Which events are shown. Patterns are a shell's."""

    host: str | None
    task: str | None
    failed: bool

    def shows(self, event: JSONObject) -> bool:
        if not any(self):
            return True
        found = event.get("event_data")
        data = found if isinstance(found, dict) else {}
        if self.failed and (event.get("event") not in _FAILURES or data.get("ignore_errors")):
            return False
        return _matches(self.host, data.get("host")) and _matches(self.task, data.get("task"))


def _matches(pattern: str | None, value: object) -> bool:
    return pattern is None or (isinstance(value, str) and fnmatch.fnmatchcase(value, pattern))


@command(
    examples=(
        "receptor-runner logs nightly -f",
        "receptor-runner logs nightly --failed",
        "receptor-runner logs demo/artifacts/nightly --host 'web*' --task 'Install *'",
    ),
)
@job_argument()
@bare_option("-f", "--follow", is_flag=True, help="Go on with what comes, until the job ends.")
@bare_option("--host", metavar="PATTERN", help="Only results of these hosts.")
@bare_option("--task", metavar="PATTERN", help="Only results of the tasks with such a name.")
@bare_option("--failed", is_flag=True, help="Only results that failed, and hosts that were out of reach.")
@show_options
@log_options
def logs(*, job: str, follow: bool, host: str | None, task: str | None, failed: bool, shown: ShowOptions) -> int:
    """Show the output of a job again.

    JOB is a submitted job or an artifact directory, of which the last run is shown. Nobody who follows the job is
    disturbed.
    """
    from ..system.signals import check, stop_on_signals

    name_job(job)
    printer = job_printer(shown)
    chosen = _Filter(host, task, failed)
    count = 0

    with stop_on_signals() as flag:

        def take(event: JSONObject, raw: bytes) -> None:
            nonlocal count
            check(flag)
            if printer is not None and chosen.shows(event):
                count += 1
                printer.event("", event, raw)
                if follow:
                    printer.flush()
                if printer.closed:
                    raise OutputClosedError("whoever read the output has gone")

        try:
            read_job(job, take, follow=follow, flag=flag)
        except OutputClosedError:
            return printed(printer, OutputClosedError.exit_code)
    if printer is not None:
        printer.flush()
    if not count and any(chosen):
        complain("nothing matches; the whole output is shown without --host, --task and --failed")
    return printed(printer, 0)
