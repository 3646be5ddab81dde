"""The command ``release``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import bare_option, command, job_argument, log_options, output_option
from .views import chosen, show_each

if TYPE_CHECKING:
    from ..records.record import Record

__all__ = ["release"]


@command(
    examples=(
        "receptor-runner release nightly",
        "receptor-runner release nightly --force",
    ),
)
@job_argument("names", "JOB...", nargs=-1)
@bare_option("--all", "everyone", is_flag=True, help="Every job that has ended.")
@bare_option("--force", is_flag=True, help="Also a job that runs, or whose node is out of reach.")
@output_option
@log_options
def release(names: tuple[str, ...], everyone: bool, force: bool, output: str) -> int:
    """Remove jobs from the mesh, and their records.

    Artifacts stay. A job whose results nobody saved is refused without --force.
    """
    from ..mesh.client import Mesh
    from ..records.record import Record
    from ..records.state_dir import jobs_directory
    from ..records.store import Records

    def released(name: str) -> Record:
        if force and Records(jobs_directory()).remove_damaged(name):
            return Record.damaged(name)
        job = Mesh.job(name)
        job.release(force=force)
        return job.record

    return show_each(chosen(names, everyone, lambda job: job.record.verdict is not None), released, output)
