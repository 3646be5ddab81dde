"""The command ``cancel``."""

from __future__ import annotations

from .options import bare_option, command, job_argument, log_options, output_option
from .views import chosen, show_each

__all__ = ["cancel"]


@command(
    examples=("receptor-runner cancel nightly",),
)
@job_argument("names", "JOB...", nargs=-1)
@bare_option("--all", "everyone", is_flag=True, help="Every job that has not ended.")
@output_option
@log_options
def cancel(names: tuple[str, ...], everyone: bool, output: str) -> int:
    """Cancel jobs.

    It succeeds when each JOB is shown to have ended.
    """
    from ..mesh.client import Mesh
    from ..system.signals import stop_on_signals

    with stop_on_signals() as flag:
        return show_each(
            chosen(names, everyone, lambda job: job.record.verdict is None),
            lambda name: Mesh.job(name).cancel(flag),
            output,
        )
