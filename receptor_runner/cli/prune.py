"""The command ``prune``."""

from __future__ import annotations

from ..errors import ReceptorRunnerError
from .mesh_options import SocketOptions, socket_options
from .options import bare_option, command, log_options, output_option
from .output import complain, print_json, say, text_of

__all__ = ["prune"]


@command(
    examples=(
        "receptor-runner prune",
        "receptor-runner prune --socket /run/receptor/receptor.sock --yes",
    ),
)
@socket_options
@bare_option("--yes", is_flag=True, help="Delete what is listed.")
@output_option
@log_options
def prune(at: SocketOptions, yes: bool, output: str) -> int:
    """List what finished jobs have left, or delete it.

    That is records, work units of ours on the mesh, and private nodes. Nothing is deleted without --yes.
    """
    from ..mesh.client import Mesh
    from ..mesh.prunable import find_prunable

    worst = 0
    views = []
    for one in find_prunable(at.mesh() if at.given else None):
        deleted = False
        if yes:
            try:
                deleted = one.delete()
            except ReceptorRunnerError as exc:
                complain(text_of(exc))
                worst = max(worst, exc.exit_code)
        views.append({"kind": one.kind, "name": one.name, "why": one.why, "deleted": deleted})
        if output == "text":
            done = "deleted" if deleted else "kept" if yes else "would delete"
            say(f"{done} {one.kind} {one.name}: {one.why}")
    if output == "json":
        print_json(views)
    elif not views:
        complain("nothing is left to delete")
    kept = sum(not job.record.delivered for job in Mesh.jobs())
    if kept and output == "text":
        complain(f"{kept} job(s) stay, because they run or their results were never saved: receptor-runner jobs")
    return worst
