"""The order of the checks: this machine, the mesh, the way to the node, the node, a job."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ReceptorRunnerError
from ..mesh.client import Mesh
from ..system.signals import StopFlag
from .finding import FAULT, Finding, fault
from .link import Link
from .machine import machine_findings
from .node import NodeChecks
from .trial import trial

__all__ = ["examine"]


def examine(
    mesh: Mesh | None,
    node: str | None = None,
    *,
    worktype: str | None = None,
    image: str | None = None,
    flag: StopFlag | None = None,
) -> Iterator[Finding]:
    """Every finding, as soon as it is made.

    :param mesh: None if no mesh is named: then jobs run on this machine.
    :param node: where jobs are to run; None for the node of the socket.
    :param image: the container image that they are to run in.
    :raises Interrupted: ``flag`` was raised.
    """
    broken = False
    for finding in machine_findings(runs_jobs=mesh is None and not image):
        broken = broken or finding.level == FAULT
        yield finding
    if mesh is None:
        if not broken:
            yield from _trial_here(image, flag)
        return
    link = Link(mesh.address, node, flag)
    yield from link.findings()
    if link.status is None or not link.reachable:
        return
    checks = NodeChecks(link, worktype=worktype, container=bool(image), flag=flag)
    yield from checks.findings()
    if checks.works and not broken:
        yield from trial(mesh, checks.route, image, flag)


def _trial_here(image: str | None, flag: StopFlag | None) -> Iterator[Finding]:
    try:
        mesh = Mesh.private()
    except ReceptorRunnerError as exc:
        yield fault("A job", "job", f"a node of this machine's own does not start: {exc}", exc.exit_code)
        return
    yield from trial(mesh, None, image, flag)
