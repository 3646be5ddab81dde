"""The options that say which mesh, and where on it a job goes.

Rules: names and variables of the socket options are receptorctl's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..limits import LOST_AFTER_SECONDS
from .options import bare_option, option, option_group, sections

if TYPE_CHECKING:
    from ..mesh.client import Mesh

__all__ = ["RouteOptions", "SocketOptions", "again_option", "lost_after_option", "route_options", "socket_options"]


class SocketOptions(NamedTuple):
    """The control service that the commands talk to."""

    socket: str | None
    config: str | None
    tls_client: str | None
    rootcas: str | None
    key: str | None
    cert: str | None
    insecureskipverify: bool

    @property
    def given(self) -> bool:
        """Whether a mesh is named."""
        return bool(self.socket or self.config)

    def mesh(self) -> Mesh:
        """:raises UnreachableError: no mesh is named."""
        from ..mesh.client import Mesh

        return Mesh(
            self.socket,
            config=self.config,
            tlsclient=self.tls_client,
            rootcas=self.rootcas,
            key=self.key,
            cert=self.cert,
            insecureskipverify=self.insecureskipverify,
        )


socket_options = option_group(
    SocketOptions,
    "at",
    sections(
        "Mesh",
        option(
            "--socket",
            metavar="ADDRESS",
            envvar=["RECEPTORCTL_SOCKET"],
            help="The control socket of a node: a path, tcp:// or tls://.",
        ),
        option(
            "-c",
            "--config",
            metavar="FILE",
            envvar=["RECEPTORCTL_CONFIG"],
            help="Receptor's configuration, for socket and TLS.",
        ),
        option(
            "--tls-client",
            metavar="NAME",
            envvar=["RECEPTORCTL_TLSCLIENT"],
            help="Name of a tls-client of that configuration.",
        ),
        option("--rootcas", metavar="FILE", help="Root certificates for a tls:// socket."),
        option("--key", metavar="FILE", help="Client key for a tls:// socket."),
        option("--cert", metavar="FILE", help="Client certificate for a tls:// socket."),
        option("--insecureskipverify", is_flag=True, help="Accept any certificate of a tls:// socket."),
    ),
)


class RouteOptions(NamedTuple):
    """Where on a mesh a job goes; None where the mesh is to decide."""

    node: str | None
    worktype: str | None
    ttl: str | None
    signwork: bool | None

    @property
    def unsaid(self) -> bool:
        """Whether all of it is left to the mesh."""
        return all(value is None for value in self)


route_options = option_group(
    RouteOptions,
    "to",
    sections(
        "Mesh",
        option("--node", metavar="NODE", help="The node to run on. [default: the node of the socket]"),
        option(
            "--worktype", metavar="NAME", help="The worktype there. [default: receptor-runner, else ansible-runner]"
        ),
        option("--ttl", metavar="TIME", help="Permit a node that is absent now, for so long: 30s, 10m, 1h."),
        option("--signwork/--no-signwork", default=None, help="Sign the work. [default: as the node advertises]"),
    ),
)

#: Without a variable: it is a decision about one job.
(again_option,) = sections(
    "Waiting",
    bare_option("--again", is_flag=True, help="Submit a job whose name was used before, if its results are saved."),
)

(lost_after_option,) = sections(
    "Waiting",
    option(
        "--lost-after",
        type=float,
        default=LOST_AFTER_SECONDS,
        metavar="SECONDS",
        help="Detach when the mesh was away so long.",
    ),
)
