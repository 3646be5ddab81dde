"""The command ``status``."""

from __future__ import annotations

from .options import command, job_argument, log_options, output_option
from .output import print_json, say
from .views import job_view

__all__ = ["status"]


@command(
    examples=(
        "receptor-runner status nightly",
        "receptor-runner status nightly -o json",
    ),
)
@job_argument()
@output_option
@log_options
def status(job: str, output: str) -> int:
    """Show the state of a submitted job."""
    from ..mesh.client import Mesh

    view = job_view(Mesh.job(job).refresh())
    if output == "json":
        print_json(view)
    else:
        for name, value in view.items():
            say(f"{name + ':':18}{value if value is not None else '-'}")
    return 0
