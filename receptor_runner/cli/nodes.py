"""The command ``nodes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import ReceptorRunnerError
from .mesh_options import SocketOptions, socket_options
from .options import bare_option, command, complete, log_options, output_option
from .output import print_json, print_table, text_of

if TYPE_CHECKING:
    from ..mesh.client import Mesh
    from ..mesh.route import NodeStatus
    from ..stream.messages import JSONObject

__all__ = ["nodes"]


@command(
    examples=(
        "receptor-runner nodes",
        "receptor-runner nodes exec1 --info -o json",
    ),
)
@click.argument("node", required=False, shell_complete=complete("nodes"))
@bare_option("--info", is_flag=True, help="Ask each node for its processors, memory and versions.")
@socket_options
@output_option
@log_options
def nodes(node: str | None, info: bool, at: SocketOptions, output: str) -> int:
    """Show the nodes of the mesh, or NODE alone, and what they offer."""
    mesh = at.mesh()
    status = mesh.status()
    found = [status.node(node)] if node else status.nodes()
    if node and not found[0].reachable and found[0].worktypes is None:
        raise status.absent(node)
    infos = [_worker_info(mesh, one) for one in found] if info else None
    if output == "json":
        views = [_view(one, here=one.node == status.own) for one in found]
        for view, told in zip(views, infos or [], strict=False):
            view["info"] = told
        print_json(views[0] if node else views)
        return 0
    rows = [_row(one) for one in found]
    if infos is not None:
        rows = [(*row, *_info_cells(told)) for row, told in zip(rows, infos, strict=True)]
    more = ("CPUS", "MEMORY", "ANSIBLE", "STORE", "ERRORS") if info else ()
    print_table(("NODE", "REACHABLE", "WORKTYPES", *more), rows)
    return 0


def _view(one: NodeStatus, *, here: bool) -> JSONObject:
    """``worktypes`` is null if the node has not told them."""
    view: JSONObject = {**one._asdict(), "here": here}
    if one.worktypes is not None:
        view["worktypes"] = {name: {"signed": signed} for name, signed in one.worktypes.items()}
    return view


def _row(one: NodeStatus) -> tuple[str, ...]:
    worktypes = [f"{name} (signed)" if secure else name for name, secure in (one.worktypes or {}).items()]
    offered = "unknown" if one.worktypes is None else ", ".join(worktypes) or "-"
    return one.node, "yes" if one.reachable else "no", offered


def _worker_info(mesh: Mesh, one: NodeStatus) -> JSONObject:
    """What a node tells about itself. What prevents that is an error of the node's, not of the command."""
    try:
        return mesh.worker_info(one.node) if one.reachable else {"errors": ["out of reach"]}
    except ReceptorRunnerError as exc:
        return {"errors": [text_of(exc)]}


def _info_cells(info: JSONObject) -> tuple[str, ...]:
    memory = f"{info['mem_in_bytes'] / 2**30:.1f} GiB" if "mem_in_bytes" in info else "-"
    errors = "; ".join(map(str, info.get("errors") or ())) or "-"
    return (
        str(info.get("cpu_count", "-")),
        memory,
        str(info.get("ansible_core_version") or "-"),
        _store_cell(info),
        errors,
    )


def _store_cell(info: JSONObject) -> str:
    """What the store of the node has, and what it may have."""
    store = info.get("store") or {}
    sizes = [store.get(name) for name in ("used_in_bytes", "limit_in_bytes")]
    if not all(isinstance(size, int) for size in sizes):
        return "-"
    used, limit = (size / 1e9 for size in sizes if isinstance(size, int))
    return f"{used:.1f} of {limit:.1f} GB"
