"""The order of the checks: this machine, the mesh, the way to the node, the node, a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import SHORTAGES, Interrupted, ReceptorRunnerError, UnreachableError
from ..mesh.client import Mesh
from ..system.signals import StopFlag
from .finding import FAULT, Finding, fault
from .link import Link
from .machine import machine_findings
from .node import NodeChecks
from .trial import trial

__all__ = ["TRIAL_SECONDS", "examine"]

#: How long a job that does nothing may take.
TRIAL_SECONDS = 60.0


def examine(
    named: Callable[[], Mesh] | None,
    node: str | None = None,
    *,
    worktype: str | None = None,
    image: str | None = None,
    seconds: float = TRIAL_SECONDS,
    flag: StopFlag | None = None,
) -> Iterator[Finding]:
    """Every finding, as soon as it is made.

    :param named: makes the mesh; None if none is named: then jobs run on this machine.
    :param node: where jobs are to run; None for the node of the socket.
    :param image: the container image that they are to run in.
    :param seconds: how long the job at the end may run.
    :raises Interrupted: ``flag`` was raised.
    """
    broken = False
    for finding in machine_findings(runs_jobs=named is None and not node and not image):
        broken = broken or finding.level == FAULT
        yield finding
    if named is None and node:
        text = f"{node} is a node of a mesh, and no mesh is named"
        yield fault("The mesh", "mesh-unnamed", text, UnreachableError.exit_code)
    elif named is None:
        if not broken:
            yield from _trial_here(image, flag, seconds)
    else:
        try:
            mesh = named()
        except ReceptorRunnerError as exc:
            yield fault("The mesh", "mesh-configuration", str(exc), exc.exit_code)
            return
        yield from _understood(_examine_mesh(mesh, node, worktype, image, flag, None if broken else seconds))


def _examine_mesh(
    mesh: Mesh,
    node: str | None,
    worktype: str | None,
    image: str | None,
    flag: StopFlag | None,
    seconds: float | None,
) -> Iterator[Finding]:
    link = Link(mesh.address, node, flag)
    yield from link.findings()
    if link.status is None or not link.reachable:
        return
    checks = NodeChecks(link, worktype=worktype, container=bool(image), flag=flag)
    yield from checks.findings()
    if checks.works and seconds is not None:
        yield from trial(mesh, checks.route, image, flag, seconds)


def _understood(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Daemons and workers are strangers: an answer that no check expected is a finding, too."""
    try:
        yield from findings
    except Interrupted:
        raise
    except ReceptorRunnerError as exc:
        yield fault("The mesh", "answer", str(exc), exc.exit_code)
    except SHORTAGES:
        raise
    except Exception as exc:
        yield fault("The mesh", "answer", f"an answer cannot be understood: {exc!r}", ReceptorRunnerError.exit_code)


def _trial_here(image: str | None, flag: StopFlag | None, seconds: float) -> Iterator[Finding]:
    try:
        mesh = Mesh.private()
    except Interrupted:
        raise
    except ReceptorRunnerError as exc:
        yield fault("A job", "job", f"a node of this machine's own does not start: {exc}", exc.exit_code)
        return
    yield from trial(mesh, None, image, flag, seconds)
