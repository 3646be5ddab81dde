"""Runs a job's command in a container: the command line of a container engine.

Rules: the job sees its private data dir as ``/runner``, which execution environment images know. No value of the job's
environment is on the command line: the engine is told names, and takes the values from its own environment. It is told
nothing of the environment and the words of a sealed job, and keeps no output of it. The job sees nothing of the
engine's environment. Sources: podman-run(1), docker-run(1)."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import ConfigurationError, InputError
from ..job.private_data import PrivateDataDir
from .container_env import container_environment, hidden_command
from .executable import find_executable, long_path
from .files import make_file, write_credentials
from .isolated import Isolated
from .isolation import InnerCommand, WrappedCommand
from .kinds import DOCKER, PODMAN
from .path_map import CONTAINER_HOME, PathMap
from .request import IsolationRequest

__all__ = ["ContainerIsolation"]

_LABEL = "receptor-runner.run"
_LONGEST_NAME = 63
_USER_OPTIONS = ("-u", "--user", "--userns")
#: ``-d`` behind any of the short flags that take no value, or the long form unless it is said to be false.
_DETACHED = re.compile(r"-[itPq]*d.*|--detach(?:=(?!false$|0$|f$|F$|FALSE$|False$).*)?")
#: Never mounted: the engine would give every file in it the container's label.
_UNMOUNTABLE = ("/", "/home", "/usr")


class ContainerIsolation:
    """The container of one job.

    :param scratch: a directory that the job does not see: credentials and the container's id are there.
    :param fresh: whether the private data dir was made for this job; else an earlier run may have left a container.
    """

    def __init__(
        self, request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str, *, fresh: bool
    ) -> None:
        self._request = request
        self._private_data = private_data
        self._artifact_dir = artifact_dir
        self._scratch = Path(scratch)
        self._fresh = fresh
        wants_cwd = os.path.isdir(request.host_cwd) and not request.workdir
        self._host_cwd = os.path.abspath(request.host_cwd) if wants_cwd else ""
        self._volume_mounts = [_absolute(mount) for mount in request.volume_mounts]
        self.mount_points = self._mount_points()
        self.path_map = self._path_map()
        # overlay file systems of older kernels refuse what a module's atomic move needs
        self.base_env = {"ANSIBLE_UNSAFE_WRITES": "1"} if request.kind == PODMAN else {}

    def _path_map(self) -> PathMap:
        pairs = self._own_mounts()
        for mount in self._volume_mounts:
            source, _, rest = mount.partition(":")
            if os.path.isabs(source) and rest:
                pairs.append((source, rest.split(":")[0]))
        return PathMap(pairs, own_root=True)

    @property
    def _workdir(self) -> str:
        """Where the command runs, inside."""
        default = f"{CONTAINER_HOME}/project" if os.path.isdir(self._private_data.project) else CONTAINER_HOME
        return self._request.workdir or self._host_cwd or default

    @property
    def _name(self) -> str:
        """A name for the container: always the same for the same job in the same directory, and for no other job."""
        digest = hashlib.sha256(os.fsencode(os.path.realpath(self._artifact_dir))).hexdigest()
        readable = re.sub(r"[^a-zA-Z0-9_-]", "_", f"ansible_runner_{self._artifact_dir.name}")
        return f"{readable[: _LONGEST_NAME - 13]}_{digest[:12]}"

    @property
    def _id_file(self) -> str:
        return str(self._scratch / "container-id")

    def wrap(self, command: InnerCommand, env: Mapping[str, str]) -> WrappedCommand:
        """:raises InputError: a directory that is to be mounted does not exist.
        :raises ConfigurationError: a mount or a variable is impossible.
        :raises UnreachableError: there is no such engine.
        """
        request = self._request
        if any(map(_DETACHED.fullmatch, request.options)):
            raise ConfigurationError("container_options must not detach the container: nobody would know how it ends")
        engine = find_executable(request.executable, env.get("PATH", ""))
        variables, words, unlogged = self._inside(command)
        label = f"{_LABEL}={secrets.token_hex(16)}"
        argv = [engine, *self._client_options(), "run", "--rm", "--tty", "--interactive", "--workdir", self._workdir]
        argv += [word for mount in self._mounts() for word in ("-v", mount)]
        argv += [word for name in variables for word in ("--env", name)]
        argv += ["--cidfile", self._id_file, "--label", label, *self._engine_options()]
        argv += ["--name", self._name, *request.options, *unlogged, request.image, *words]
        isolated = Isolated(
            request.kind,
            command.program,
            env={**self._engine_environment(env), **variables},
            cwd=str(self._private_data.path),
            name=self._name,
            may_be_stale=not self._fresh,
            engine=engine,
            image=request.image,
            id_file=self._id_file,
            label=label,
        )
        return WrappedCommand(argv, self._workdir, isolated)

    def _inside(self, command: InnerCommand) -> tuple[dict[str, str], list[str], list[str]]:
        """What the engine is told of the environment, the words of the command, and what keeps its log empty."""
        if not command.hidden_in:
            variables, shell = container_environment(command.env, {}, answers=command.answers)
            return variables, [*shell, *command.argv], []
        path = self.path_map.inside(command.hidden_in)
        content, variables, words = hidden_command(command.argv, command.env, path, answers=command.answers)
        make_file(Path(command.hidden_in), content)
        return variables, words, ["--log-driver=none"]

    def _engine_environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """A pull that is interrupted leaves a directory in ``TMPDIR``. So the engine gets the job's, unless it is a
        rootless podman that would keep there what it must find again (podman-run(1)).
        """
        own = {"PATH": long_path(env.get("PATH", ""))}
        if env.get("TMPDIR") and (os.geteuid() == 0 or env.get("XDG_RUNTIME_DIR")):
            own["TMPDIR"] = str(self._scratch)
        return {**env, **own}

    def _mount_points(self) -> list[str]:
        """What the engine will make in the private data dir, to mount something there."""
        top = PathMap([(str(self._private_data.path), CONTAINER_HOME)])
        points = [top.outside(inside) for _, inside in self._own_mounts()[1:]]
        above = [os.path.dirname(point) for point in points]
        return [point for point in (*above, *points) if not os.path.lexists(point)]

    def _own_mounts(self) -> list[tuple[str, str]]:
        """What is mounted for the job. A directory that lies elsewhere on this machine has its place below
        ``/runner``, too.
        """
        private_data = self._private_data
        own = private_data.path / "project"
        if private_data.project == own and not own.resolve().is_relative_to(private_data.path.resolve()):
            raise ConfigurationError(f"a container does not see where {own} leads; give that as project_dir")
        pairs = [(str(private_data.path), CONTAINER_HOME)]
        if os.path.isdir(private_data.project) and str(private_data.project) != str(private_data.path / "project"):
            pairs.append((str(private_data.project), f"{CONTAINER_HOME}/project"))
        if not self._artifact_dir.is_relative_to(private_data.path):
            pairs.append((str(self._artifact_dir), f"{CONTAINER_HOME}/artifacts/{self._artifact_dir.name}"))
        if self._host_cwd:
            pairs.append((self._host_cwd, self._host_cwd))
        return pairs

    def _mounts(self) -> Iterator[str]:
        for source, target in self._own_mounts():
            _check_mountable(source)
            if ":" in source:
                raise ConfigurationError(f"a container cannot have {source} mounted: there is a colon in its name")
            yield f"{source}:{target}:Z" if target.startswith(CONTAINER_HOME) else f"{source}:{target}"
        for mount in self._volume_mounts:
            source, colon, _ = mount.partition(":")
            if not source or not colon:
                raise ConfigurationError(f"the volume mount {mount!r} is not HOST_DIR:CONTAINER_DIR[:OPTIONS]")
            _check_mountable(source)
            if os.path.isabs(source) and not os.path.exists(source):
                raise InputError(f"the volume mount {mount} cannot be made: {source} does not exist on this machine")
            yield mount

    def _client_options(self) -> list[str]:
        """Docker's client takes credentials as a configuration directory, before ``run``."""
        if self._request.kind != DOCKER or self._request.credentials is None:
            return []
        directory = self._scratch / "docker"
        write_credentials(directory / "config.json", self._request.credentials)
        return [f"--config={directory}"]

    def _engine_options(self) -> list[str]:
        request = self._request
        own_user = any(option.startswith(_USER_OPTIONS) for option in request.options)
        if request.kind == DOCKER:
            return [] if own_user else [f"--user={os.getuid()}"]
        options = ["--quiet"]
        if not own_user:
            # the owner of the private data dir: the user of a rootless podman is root inside
            options.append("--user=0")
        if request.credentials is not None:
            path = self._scratch / "registry" / "auth.json"
            write_credentials(path, request.credentials)
            options.append(f"--authfile={path}")
            if not request.credentials.verify_ssl:
                options.append("--tls-verify=false")
        return options


def _absolute(mount: str) -> str:
    """The mount with an absolute path. A mount that begins with a name means a volume of the engine."""
    source, colon, rest = mount.partition(":")
    if not source.startswith(("/", ".")):
        return mount
    return "/" + os.path.abspath(source).lstrip("/") + colon + rest


def _check_mountable(source: str) -> None:
    if source in _UNMOUNTABLE:
        raise ConfigurationError("When using containerized execution, cannot mount '/' or '/home' or '/usr'")
