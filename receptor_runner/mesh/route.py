"""What a mesh offers, and whether a job can go where it shall: asked before a byte is sent.

Rules: reachability is the routing table's, because advertisements outlive their nodes by minutes; whether work must
be signed and whether the way needs TLS are the advertisement's (pkg/netceptor/netceptor.go)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import RefusedError, UnreachableError, UsageError
from ..receptor.control_protocol import CommandError, seconds_of
from ..stream.messages import JSONObject

__all__ = ["NodeOffer", "Offer", "Target", "Wish", "choose"]

#: Ours first: it keeps alive, can be probed, and says how a stream ends.
DEFAULT_WORKTYPES = ("receptor-runner", "ansible-runner")
_STREAM_TLS = 2
#: A node that just came up is routed to within a second or two, and advertises its worktypes after five.
_ROUTE_SECONDS = 3.0
_ADVERTISEMENT_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 0.2


class NodeOffer(NamedTuple):
    """One node. ``worktypes`` maps each to whether its work must be signed; None if nothing is advertised."""

    node: str
    reachable: bool
    worktypes: dict[str, bool] | None
    needs_tls: bool
    #: When the advertisement was made, as the daemon writes it.
    seen: str | None


class Offer:
    """All of a mesh, from the reply to one ``status``."""

    def __init__(self, status: JSONObject) -> None:
        """:raises UnreachableError: it is no status of a node."""
        try:
            self._take(status)
        except (AttributeError, TypeError) as exc:
            raise UnreachableError(f"the control service answers with a status that is none: {exc}") from exc

    def _take(self, status: JSONObject) -> None:
        self.own = str(status.get("NodeID") or "")
        self.version = str(status.get("Version") or "")
        routes = status.get("RoutingTable") or {}
        self._reachable = {self.own, *routes}
        self._advertised: dict[str, JSONObject] = {}
        for advertisement in status.get("Advertisements") or []:
            if advertisement.get("Service") == "control" or advertisement.get("WorkCommands"):
                self._advertised[str(advertisement.get("NodeID"))] = advertisement

    def nodes(self) -> list[NodeOffer]:
        return [self.node(name) for name in sorted(self._reachable | set(self._advertised))]

    def absent(self, name: str) -> UnreachableError:
        """What is said of a node that cannot be reached."""
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

    def node(self, name: str) -> NodeOffer:
        advertisement = self._advertised.get(name)
        if advertisement is None:
            return NodeOffer(name, name in self._reachable, None, needs_tls=False, seen=None)
        commands = advertisement.get("WorkCommands") or []
        worktypes = {str(one.get("WorkType")): bool(one.get("Secure")) for one in commands}
        needs_tls = advertisement.get("ConnType") == _STREAM_TLS
        return NodeOffer(name, name in self._reachable, worktypes, needs_tls, advertisement.get("Time"))


class Wish(NamedTuple):
    """What a submitter wants; None where the mesh is to decide."""

    node: str | None = None
    worktype: str | None = None
    ttl: str | None = None
    signwork: bool | None = None
    tlsclient: str | None = None


class Target(NamedTuple):
    """Where a job goes, and how. ``local``: the node that we are connected to runs it itself."""

    node: str
    worktype: str
    ttl: str | None
    signwork: bool
    tlsclient: str | None
    local: bool


def choose(ask: Callable[[], Offer], wish: Wish, pause: Callable[[float], None]) -> Target:
    """Waits a little for a node that just came up.

    :param ask: gets the offer of the moment.
    :param pause: waits for so many seconds, or raises.
    :raises UsageError: the ttl is no duration.
    :raises UnreachableError: there is no such node or worktype.
    :raises RefusedError: the node wants TLS and we have no name for it.
    """
    _check_ttl(wish.ttl)
    offer = ask()
    name = offer.own if wish.node in (None, "localhost") else str(wish.node)
    begun = time.monotonic()
    while not _enough(offer.node(name), wish) and time.monotonic() - begun < _patience(offer.node(name)):
        pause(_ASK_AGAIN_SECONDS)
        offer = ask()
    found = offer.node(name)
    if not found.reachable and wish.ttl is None:
        raise UnreachableError(f"{offer.absent(name)}; --ttl waits for it")
    worktype = _worktype(found, wish)
    local = name == offer.own
    tlsclient = None if local else _tlsclient(found, wish.tlsclient)
    secure = bool((found.worktypes or {}).get(worktype))
    signwork = (secure and not local) if wish.signwork is None else wish.signwork
    return Target(name, worktype, None if local else wish.ttl, signwork, tlsclient, local)


def _tlsclient(node: NodeOffer, known: str | None) -> str | None:
    """What a connection to another node takes; one that advertises nothing may want TLS.

    :raises RefusedError: it wants TLS, and no name is known.
    """
    if node.needs_tls and known is None:
        raise RefusedError(
            f"the control service of {node.node} wants TLS; name the daemon's tls-client with --tls-client"
        )
    return known if node.needs_tls or node.worktypes is None else None


def _check_ttl(ttl: str | None) -> None:
    """Before the daemon sees it: it would keep a unit that nobody can release."""
    if ttl is None:
        return
    try:
        seconds = seconds_of(ttl)
    except CommandError:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(f"--ttl takes a time such as 30s, 10m or 1h30m, not {ttl!r}")


def _enough(node: NodeOffer, wish: Wish) -> bool:
    if not node.reachable:
        return wish.ttl is not None
    return node.worktypes is not None and (wish.worktype is None or wish.worktype in node.worktypes)


def _patience(node: NodeOffer) -> float:
    if not node.reachable:
        return _ROUTE_SECONDS
    return _ADVERTISEMENT_SECONDS if node.worktypes is None else 0.0


def _worktype(node: NodeOffer, wish: Wish) -> str:
    if node.worktypes is None:
        if wish.ttl is not None:
            return wish.worktype or DEFAULT_WORKTYPES[0]
        raise UnreachableError(f"the node {node.node} advertises no worktypes; has it a control-service?")
    offered = ", ".join(node.worktypes) or "none"
    if wish.worktype is not None:
        if wish.worktype not in node.worktypes and wish.ttl is None:
            raise UnreachableError(f"the node {node.node} does not offer the worktype {wish.worktype}, but: {offered}")
        return wish.worktype
    for name in DEFAULT_WORKTYPES:
        if name in node.worktypes:
            return name
    raise UnreachableError(
        f"the node {node.node} offers none of {', '.join(DEFAULT_WORKTYPES)}, but: {offered}; use --worktype"
    )
