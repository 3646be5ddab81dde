"""The command ``jobs``."""

from __future__ import annotations

from .options import command, log_options, output_option
from .output import print_json, print_table
from .views import job_view

__all__ = ["jobs"]


@command(
    examples=(
        "receptor-runner jobs",
        "receptor-runner jobs -o json",
    ),
)
@output_option
@log_options
def jobs(output: str) -> int:
    """List the submitted jobs."""
    from ..mesh.client import Mesh

    views = [job_view(job.refresh()) for job in Mesh.jobs()]
    if output == "json":
        print_json(views)
    else:
        rows = [(view["id"], view["state"], view["node"], view["private_data_dir"]) for view in views]
        print_table(("JOB", "STATE", "NODE", "DIRECTORY"), rows)
    return 0
