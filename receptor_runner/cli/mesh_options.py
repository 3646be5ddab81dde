"""The options that say which mesh, and where on it a job goes.

Rules: names and variables of the socket options are receptorctl's."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from ..errors import ConfigurationError
from ..limits import LOST_AFTER_SECONDS
from .config_file import configuration, user_file
from .options import bare_option, complete, option, option_group, sections

if TYPE_CHECKING:
    from ..mesh.client import Mesh
    from ..mesh.sending import PayloadWish
    from ..mesh.submitted import SubmittedJob
    from ..system.signals import StopFlag

__all__ = [
    "OtherOptions", "PayloadOptions", "RouteOptions", "SocketOptions", "again_option", "chosen_job",
    "lost_after_option", "other_options", "payload_options", "route_options", "socket_options",
]  # fmt: skip


_F = TypeVar("_F", bound=Callable[..., Any])


class SocketOptions(NamedTuple):
    """The control service that the commands talk to."""

    mesh_name: str | None

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

    def resolved(self, ctx: click.Context) -> SocketOptions:
        """With what the configuration file says of ``--mesh``.

        :raises click.UsageError: a socket is named, too.
        :raises ConfigurationError: there is no such mesh.
        """
        if not self.mesh_name:
            return self
        sources = {name: ctx.get_parameter_source(name) for name in self._fields}
        typed = [name for name, source in sources.items() if source is ParameterSource.COMMANDLINE]
        if "mesh_name" in typed:
            if "socket" in typed or "config" in typed:
                raise click.UsageError("give --mesh, or --socket and --config, not both")
        elif any(self._is_nearer(name, sources) for name in ("socket", "config")):
            return self
        values = dict.fromkeys(self._fields) | {"mesh_name": self.mesh_name, "insecureskipverify": False}
        values |= configuration().mesh(self.mesh_name)
        return SocketOptions(**{**values, **{name: getattr(self, name) for name in typed}})

    def _is_nearer(self, name: str, sources: dict[str, ParameterSource | None]) -> bool:
        """Whether an option that says the mesh, too, comes from a nearer place than ``--mesh``, or from the same."""
        own, mesh = sources[name], sources["mesh_name"]
        if own is not ParameterSource.DEFAULT_MAP:
            return own is ParameterSource.COMMANDLINE or (
                own is ParameterSource.ENVIRONMENT and mesh is ParameterSource.DEFAULT_MAP
            )
        if mesh is not ParameterSource.DEFAULT_MAP:
            return False
        defaults = configuration().defaults
        if defaults[name].file == defaults["mesh"].file:
            raise ConfigurationError(f"{defaults[name].file}: defaults.mesh and defaults.{name} contradict each other")
        return defaults["mesh"].file == user_file()

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


_socket_options = option_group(
    SocketOptions,
    "at",
    sections(
        "Mesh",
        option(
            "--mesh",
            "mesh_name",
            metavar="NAME",
            shell_complete=complete("meshes"),
            help="The mesh of this name in the configuration file.",
        ),
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


def socket_options(function: _F) -> _F:
    """The mesh that a command talks to."""

    @functools.wraps(function)
    def command(*arguments: Any, at: SocketOptions, **values: Any) -> Any:
        return function(*arguments, at=at.resolved(click.get_current_context()), **values)

    decorated: Any = _socket_options(command)
    return decorated  # type: ignore[no-any-return]


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
        option(
            "--node",
            metavar="NODE",
            shell_complete=complete("nodes"),
            help="The node to run on. [default: the node of the socket]",
        ),
        option(
            "--worktype",
            metavar="NAME",
            shell_complete=complete("worktypes"),
            help="The worktype there. [default: receptor-runner, else ansible-runner]",
        ),
        option("--ttl", metavar="TIME", help="Permit a node that is absent now, for so long: 30s, 10m, 1h."),
        option("--signwork/--no-signwork", default=None, help="Sign the work. [default: as the node advertises]"),
    ),
)


class PayloadOptions(NamedTuple):
    """How a job travels."""

    delta: bool
    seal: bool | None
    seal_results: bool

    def wish(self) -> PayloadWish:
        from ..mesh.sending import PayloadWish

        return PayloadWish(*self)


payload_options = option_group(
    PayloadOptions,
    "payload",
    sections(
        "Mesh",
        option(
            "--delta/--no-delta",
            default=False,
            help="Send only those files that the node lacks, if its worker has a store.",
        ),
        option(
            "--seal/--no-seal",
            default=None,
            help="Encrypt the job for its node. [default: if the key of the node is trusted]",
        ),
        option("--seal-results", is_flag=True, help="Encrypt what comes back, too."),
    ),
)


class OtherOptions(NamedTuple):
    """The job of another controller, by its work unit."""

    unit: str | None
    node: str | None

    def check(self, job: str | None) -> None:
        """:raises click.UsageError: neither ``job`` nor another controller's is named, or both, or not all of it."""
        if (job is None) == (self.unit is None):
            raise click.UsageError("name a job, or another controller's work unit by --unit and --node")
        if self.unit is not None and not self.node:
            raise click.UsageError("--unit needs --node, the node that has the work unit")


other_options = option_group(
    OtherOptions,
    "other",
    sections(
        "Mesh",
        bare_option("--unit", metavar="UNIT", help="The job of another controller, by its work unit ..."),
        option("--node", metavar="NODE", shell_complete=complete("nodes"), help="... on this node."),
    ),
)


def chosen_job(job: str | None, other: OtherOptions, at: SocketOptions, flag: StopFlag) -> SubmittedJob:
    """The job that is named, or that of another controller.

    :raises click.UsageError: neither is named, or both.
    """
    from ..mesh.client import Mesh

    other.check(job)
    if job is not None and os.sep in job:
        raise click.UsageError(f"name a job that runs, and not {job}; of a directory: receptor-runner report")
    if job is not None:
        return Mesh.job(job)
    return at.mesh().other_job(str(other.node), str(other.unit), flag)


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
