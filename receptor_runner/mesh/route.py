"""What a mesh offers, and whether a job can go where its submitter wants: asked before a byte is sent.

Rules: the routing table says which nodes can be reached, because advertisements outlive their nodes by minutes. The
advertisement says whether work must be signed and whether the way needs TLS (pkg/netceptor/netceptor.go). Nodes
advertise once a minute, so a daemon that was restarted may know nothing yet. Unknown is not absent: the node itself is
asked then, and if that is not possible, it decides."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import RefusedError, UnreachableError, UsageError
from ..receptor.control_protocol import CommandError, seconds_of
from ..records.record import Route
from ..stream.messages import JSONObject

__all__ = ["MeshStatus", "NodeStatus", "RouteRequest", "select_route"]

logger = logging.getLogger(__name__)

#: Our worktypes come first: their worker sends keep-alives, can be probed, and says how a stream ends.
DEFAULT_WORKTYPES = ("receptor-runner", "ansible-runner")
_STREAM_TLS = 2
#: A node that just came up is routed to within a second or two, and advertises its worktypes after five.
_ROUTE_SECONDS = 3.0
_ADVERTISEMENT_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 0.2


class NodeStatus(NamedTuple):
    """One node. ``worktypes`` maps each to whether its work must be signed; None if nothing is advertised."""

    node: str
    reachable: bool
    worktypes: dict[str, bool] | None
    needs_tls: bool
    #: When the advertisement was made, as the daemon writes it.
    seen: str | None


class MeshStatus:
    """All of a mesh, from the reply to one ``status``."""

    def __init__(self, status: JSONObject) -> None:
        """:raises UnreachableError: it is no status of a node."""
        try:
            self._take(status)
        except (AttributeError, TypeError) as exc:
            raise UnreachableError(f"the status of the control service cannot be understood: {exc}") from exc

    def _take(self, status: JSONObject) -> None:
        self.own = str(status.get("NodeID") or "")
        routes = status.get("RoutingTable") or {}
        self._reachable = {self.own, *map(str, routes)}
        self._advertised: dict[str, JSONObject] = {}
        for advertisement in status.get("Advertisements") or []:
            if advertisement.get("Service") == "control" or advertisement.get("WorkCommands"):
                _worktypes(advertisement)
                self._advertised[str(advertisement.get("NodeID"))] = advertisement

    def nodes(self) -> list[NodeStatus]:
        return [self.node(name) for name in sorted(self._reachable | set(self._advertised))]

    def absent(self, name: str) -> UnreachableError:
        """The error text for a node that cannot be reached."""
        known = ", ".join(node.node for node in self.nodes() if node.reachable)
        return UnreachableError(f"the node {name} is not in the mesh that {self.own} sees ({known})")

    def way_to(self, name: str, tlsclient: str | None) -> str | None:
        """The name of the daemon's ``tls-client`` for a connection to ``name``, None if it needs none.

        :param tlsclient: the name that is known.
        :raises UnreachableError: the node is not there.
        :raises RefusedError: it wants TLS, and no name is known.
        """
        node = self.node(name)
        if not node.reachable:
            raise self.absent(name)
        return None if name == self.own else _tlsclient(node, tlsclient)

    def node(self, name: str) -> NodeStatus:
        advertisement = self._advertised.get(name)
        if advertisement is None:
            return NodeStatus(name, name in self._reachable, None, needs_tls=False, seen=None)
        worktypes = _worktypes(advertisement)
        needs_tls = advertisement.get("ConnType") == _STREAM_TLS
        return NodeStatus(name, name in self._reachable, worktypes, needs_tls, advertisement.get("Time"))


def _worktypes(advertisement: JSONObject) -> dict[str, bool]:
    return {str(one.get("WorkType")): bool(one.get("Secure")) for one in advertisement.get("WorkCommands") or []}


class RouteRequest(NamedTuple):
    """What a submitter wants; None where the mesh is to decide."""

    node: str | None = None
    worktype: str | None = None
    ttl: str | None = None
    signwork: bool | None = None
    tlsclient: str | None = None


def select_route(
    ask: Callable[[], MeshStatus],
    request: RouteRequest,
    pause: Callable[[float], None],
    ask_node: Callable[[str], MeshStatus | None] = lambda name: None,
) -> Route:
    """Waits a little for a node that just came up.

    :param ask: asks what the mesh offers at the moment.
    :param pause: waits for so many seconds, or raises.
    :param ask_node: asks a node what it offers itself; None if it cannot be asked.
    :raises UsageError: the ttl is no duration.
    :raises UnreachableError: there is no such node, or it says that it lacks the worktype.
    :raises RefusedError: the node wants TLS and we have no name for it.
    """
    _check_ttl(request.ttl)
    status = ask()
    name = status.own if request.node in (None, "localhost") else str(request.node)
    begun = time.monotonic()
    told: MeshStatus | None = None
    while not _enough(status.node(name), request) and time.monotonic() - begun < _patience(status.node(name)):
        if told is None and status.node(name).reachable and status.node(name).worktypes is None:
            told = ask_node(name)
            if told is not None and told.node(name).worktypes is not None:
                break
        pause(_ASK_AGAIN_SECONDS)
        status = ask()
    found = status.node(name)
    if found.worktypes is None and told is not None:
        found = told.node(name)
    if not found.reachable and request.ttl is None:
        absent = status.absent(name)
        absent.hint = "is its name right, and does it run? (run and submit wait for it with --ttl)"
        raise absent
    worktype = _worktype(found, request, status)
    local = name == status.own
    logger.debug("the node %s %s; its worktypes: %s", name, "is ours" if local else "is reachable", found.worktypes)
    tlsclient = None if local else _tlsclient(found, request.tlsclient)
    secure = bool((found.worktypes or {}).get(worktype))
    signwork = (secure and not local) if request.signwork is None else request.signwork
    route = Route(name, worktype, local, None if local else request.ttl, signwork, tlsclient)
    logger.debug("the job goes to %s", route)
    return route


def _tlsclient(node: NodeStatus, known: str | None) -> str | None:
    """What a connection to another node takes; one that advertises nothing may want TLS.

    :raises RefusedError: it wants TLS, and no name is known.
    """
    if node.needs_tls and known is None:
        raise RefusedError(
            f"the control service of {node.node} wants TLS, and no tls-client of the daemon is named",
            hint="name it with --tls-client",
        )
    return known if node.needs_tls or node.worktypes is None else None


def _check_ttl(ttl: str | None) -> None:
    """Refuses a bad duration before the daemon sees it: the daemon would keep a unit that nobody can release."""
    if ttl is None:
        return
    try:
        seconds = seconds_of(ttl)
    except CommandError:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"the ttl must be a time such as 30s, 10m or 1h30m, not {ttl!r}")


def _enough(node: NodeStatus, request: RouteRequest) -> bool:
    if not node.reachable:
        return request.ttl is not None
    return node.worktypes is not None and (request.worktype is None or request.worktype in node.worktypes)


def _patience(node: NodeStatus) -> float:
    if not node.reachable:
        return _ROUTE_SECONDS
    return _ADVERTISEMENT_SECONDS if node.worktypes is None else 0.0


def _worktype(node: NodeStatus, request: RouteRequest, mesh: MeshStatus) -> str:
    if node.worktypes is None:
        logger.info("the worktypes of %s are not known; it decides", node.node)
        return request.worktype or DEFAULT_WORKTYPES[0]
    offered = ", ".join(node.worktypes) or "nothing"
    if request.worktype is not None:
        if request.worktype not in node.worktypes and request.ttl is None:
            raise UnreachableError(
                f"the node {node.node} does not offer the worktype {request.worktype}, but: {offered}"
            )
        return request.worktype
    for name in DEFAULT_WORKTYPES:
        if name in node.worktypes:
            return name
    others = [one.node for one in mesh.nodes() if one.reachable and set(DEFAULT_WORKTYPES) & set(one.worktypes or ())]
    there = f"name a node that does with --node: {', '.join(others)}" if others else "choose another with --node"
    raise UnreachableError(
        f"the node {node.node} runs no jobs: it offers none of {', '.join(DEFAULT_WORKTYPES)}, but: {offered}",
        hint=f"{there}; or choose what it offers with --worktype" if node.worktypes else there,
    )
