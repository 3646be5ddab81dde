"""The commands about a mesh as a whole: ``nodes`` and ``prune``.

Rules: as for the package.
"""

from __future__ import annotations

from typing import Any

import click

from ..errors import ReceptorRunnerError
from .options import log_options, record_options, socket_options
from .tables import print_json, print_table

__all__ = ["mesh_of", "nodes", "prune"]


def mesh_of(options: dict[str, Any]) -> Any:
    """A :class:`~receptor_runner.mesh.client.Mesh` by the socket options."""
    from ..mesh.client import Mesh

    return Mesh(
        options["socket"],
        config=options["config"],
        tlsclient=options["tls_client"],
        rootcas=options["rootcas"],
        key=options["key"],
        cert=options["cert"],
        insecureskipverify=options["insecureskipverify"],
    )


@click.command()
@socket_options
@click.option("--yes", is_flag=True, help="Delete what is listed.")
@record_options
@log_options
def prune(yes: bool, output: str, **options: Any) -> int:
    """List what finished jobs have left, records and work units of ours; delete it with --yes."""
    from ..mesh.prunable import find_leftovers
    from .main import complain

    mesh = mesh_of(options) if options["socket"] or options["config"] else None
    worst = 0
    found = []
    for leftover in find_leftovers(mesh):
        view = {"kind": leftover.kind, "name": leftover.name, "why": leftover.why, "deleted": False}
        if yes:
            try:
                leftover.delete()
                view["deleted"] = True
            except ReceptorRunnerError as exc:
                complain(str(exc))
                worst = max(worst, exc.exit_code)
        found.append(view)
        if output == "text":
            click.echo(
                f"{'deleted' if view['deleted'] else 'would delete'} {leftover.kind} {leftover.name}: {leftover.why}"
            )
    if output == "json":
        print_json(found)
    return worst


@click.command()
@click.argument("node", required=False)
@click.option("--info", is_flag=True, help="Ask each node for its processors, memory and versions.")
@socket_options
@record_options
@log_options
def nodes(node: str | None, info: bool, output: str, **options: Any) -> int:
    """Show what the mesh offers: its nodes, or NODE alone."""
    mesh = mesh_of(options)
    offer = mesh.offer()
    offers = [offer.node(node)] if node else offer.nodes()
    if node and not offers[0].reachable and offers[0].worktypes is None:
        raise offer.absent(node)
    views = [{**one._asdict(), "here": one.node == offer.own} for one in offers]
    if info:
        for view in views:
            view["info"] = _worker_info(mesh, view)
    if output == "json":
        print_json(views[0] if node else views)
        return 0
    rows = []
    for one in offers:
        worktypes = [f"{name} (signed)" if secure else name for name, secure in (one.worktypes or {}).items()]
        rows.append((one.node, "yes" if one.reachable else "no", ", ".join(worktypes) or "-"))
    if info:
        rows = [(*row, *_info_cells(view["info"])) for row, view in zip(rows, views, strict=True)]
    print_table(("NODE", "REACHABLE", "WORKTYPES", *(("CPUS", "MEMORY", "ANSIBLE", "ERRORS") if info else ())), rows)
    return 0


def _worker_info(mesh: Any, view: dict[str, Any]) -> dict[str, Any]:
    """What a node tells about itself; what prevents that is an error of the node's, not of the command."""
    try:
        info: dict[str, Any] = mesh.worker_info(view["node"]) if view["reachable"] else {"errors": ["out of reach"]}
        return info
    except ReceptorRunnerError as exc:
        return {"errors": [str(exc)]}


def _info_cells(info: dict[str, Any]) -> tuple[str, ...]:
    memory = f"{info['mem_in_bytes'] / 2**30:.1f} GiB" if "mem_in_bytes" in info else "-"
    errors = "; ".join(map(str, info.get("errors") or ())) or "-"
    return (str(info.get("cpu_count", "-")), memory, str(info.get("ansible_core_version") or "-"), errors)
