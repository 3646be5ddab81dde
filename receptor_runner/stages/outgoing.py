"""A job as it leaves: the parameters that travel, and what goes into the archive.

Rules: nothing is written to the private data dir. Paths become relative to it. ansible-runner writes settings and
extra variables into it; here they are members of the archive, as the files that they would be. Secrets travel in the
parameters alone."""

from __future__ import annotations

import json
import logging
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..archive.collect import collect, excluded
from ..archive.entry import Entry
from ..errors import ConfigurationError, InputError, MissingError, ReceptorRunnerError
from ..isolation.kinds import PODMAN
from ..isolation.path_map import CONTAINER_HOME, PathMap
from ..job.extra_vars import travelling
from ..job.parameters import Parameters, check_ident, is_collection_playbook, to_wire, unknown_names
from ..job.private_data import PrivateDataDir
from ..job.resolved import SETTINGS, ResolvedJob
from ..preparation.environment import OWN_ROLES
from ..stream.messages import Extension, JSONObject
from .outgoing_inventory import OutgoingInventory, relative_to

__all__ = ["OutgoingJob", "TransmitterOptions"]

logger = logging.getLogger(__name__)


@dataclass
class TransmitterOptions:
    """What travels beside the parameters."""

    exclude: tuple[str, ...] = ()
    #: Old artifacts stay behind, except those of the job's own ident (facts).
    only_own_artifacts: bool = False
    #: Goes onto the ``kwargs`` line, and comes back on the ``starting`` status.
    extension: Extension = field(default_factory=Extension)
    #: Shell patterns of files below the private data dir that are wanted back, if the job makes or changes them.
    collect: tuple[str, ...] = ()
    #: Extra variables, as Ansible's ``-e`` takes them.
    extra_vars: tuple[str, ...] = ()
    #: Nothing travels: the job works in its private data dir, on this machine.
    in_place: bool = False
    #: The parameters were typed on a command line. An inventory is a path, looked for in the working directory first,
    #: or a list of hosts. A playbook that is missing is told at once; else Ansible tells it where the job runs.
    typed: bool = False


class OutgoingJob:
    """One job. ``kwargs`` are the parameters that travel, and ``with_archive`` says whether an archive follows them.

    :raises InputError: the private data dir, or something that the parameters name, is missing.
    :raises ConfigurationError: a parameter cannot be used.
    """

    def __init__(self, parameters: Mapping[str, Any], options: TransmitterOptions) -> None:
        self.private_data = _private_data(parameters.get("private_data_dir") or "", typed=options.typed)
        for name in unknown_names(parameters):
            logger.warning("ignoring the unknown parameter %s", name)
        self._options = options
        self._parameters = dict(parameters)
        self.kwargs: JSONObject = to_wire(parameters)
        self.with_archive = not parameters.get("only_transmit_kwargs") and not options.in_place
        self._extra: list[Iterable[Entry]] = []
        self._skip: set[str] = set()
        self._problems: list[str] = []
        try:
            json.dumps(self.kwargs)
            if "ident" in self.kwargs:
                check_ident(self.kwargs["ident"])
        except ConfigurationError:
            raise
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"the parameters cannot travel: {exc}") from exc
        try:
            self._arrange()
        except ReceptorRunnerError:
            raise
        except OSError as exc:
            raise InputError(f"cannot read {exc.filename}: {exc.strerror}") from exc
        logger.debug("the job of %s; its playbooks are in %s", self.private_data.path, self.private_data.cwd)

    def check(self) -> None:
        """:raises InputError: something could not be read while the archive was packed."""
        if self._problems:
            more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            raise InputError(f"{self._problems[0]}{more}", hint="make it readable, or leave it out with --exclude")

    def entries(self) -> Iterator[Entry]:
        """What goes into the archive."""
        added: set[str] = set(self._skip)
        for entries in self._extra:
            for entry in entries:
                added.add(entry.name)
                if not self._left_out(entry.name):
                    yield entry
        top, dangling = str(self.private_data.path), []
        for entry in collect(top, self.report, exclude=self._options.exclude, skip=frozenset(added)):
            if stat.S_ISLNK(entry.mode) and _leads_out(entry, top):
                dangling.append(entry.name)
            yield entry
        if dangling:
            logger.warning(
                "%d links lead out of %s, and where the job runs they may lead nowhere; the first is %s",
                len(dangling),
                top,
                dangling[0],
            )

    def _left_out(self, name: str) -> bool:
        """Whether what comes from elsewhere, or a directory that it is in, matches ``exclude``."""
        parts = name.split("/")
        return any(excluded("/".join(parts[:end]), self._options.exclude) for end in range(1, len(parts) + 1))

    def report(self, path: str, reason: str, fatal: bool) -> None:
        """Called for what cannot travel."""
        if fatal:
            self._problems.append(f"{path} {reason}")
        else:
            logger.warning("%s: %s", path, reason)

    def _arrange(self) -> None:
        """Paths become relative to the private data dir; what is elsewhere, or is data, becomes members of the
        archive.
        """
        self._arrange_isolation()
        self._arrange_project()
        self._arrange_playbook()
        self._arrange_inventory()
        self._arrange_roles()
        self._arrange_extra_vars()
        if self._options.typed and not os.path.isfile(self.private_data.args):
            self._check_resolved()
        if self.with_archive:
            self._arrange_links()
            self._arrange_env("settings", "env/settings")
            if not self._parameters.get("suppress_env_files"):
                self._arrange_env("extravars", "env/extravars")
        if self._options.only_own_artifacts and os.path.isdir(self.private_data.artifacts):
            own = str(self.kwargs.get("ident", ""))
            self._skip.update(f"artifacts/{name}" for name in os.listdir(self.private_data.artifacts) if name != own)

    def _arrange_isolation(self) -> None:
        """A project can turn off what the caller asked for. The executable's name travels, because a worker of
        ansible-runner dies without it.
        """
        if not self.kwargs.get("process_isolation"):
            return
        settings = self.private_data.settings(self.kwargs.get("settings"))
        if settings.get("process_isolation") is False:
            logger.warning(
                "%s/settings turns process isolation off; the job will run without it", self.private_data.env
            )
        self.kwargs.setdefault("process_isolation_executable", settings.get("process_isolation_executable") or PODMAN)

    def _arrange_project(self) -> None:
        given = self._parameters.get("project_dir")
        if not given or not (self.with_archive or self._options.in_place):
            return
        project = Path(os.path.abspath(given))
        if project == self.private_data.project:
            return
        if not os.path.isdir(project):
            raise MissingError(f"the project directory {project} does not exist")
        self.private_data.project = project
        self._skip.add("project")
        found = project.stat()
        self._extra.append([Entry("project", found.st_mode, found.st_mtime_ns, path=str(project))])
        self._extra.append(collect(str(project), self.report, prefix="project/", exclude=self._options.exclude))

    def _arrange_playbook(self) -> None:
        playbook = self.kwargs.get("playbook")
        if not isinstance(playbook, str):
            return
        playbook = self.kwargs["playbook"] = self._here(playbook)
        if os.path.isabs(playbook):
            relative = os.path.relpath(playbook, self.private_data.cwd)
            if not relative.startswith("../"):
                playbook = self.kwargs["playbook"] = relative
            elif self._options.typed:
                raise InputError(f"the playbook {playbook} is not in the project directory {self.private_data.cwd}")
        if self._options.typed and (self.with_archive or self._options.in_place):
            self._check_playbook(playbook)

    def _check_playbook(self, playbook: str) -> None:
        """What travels must be what the node will see."""
        whole_command, elsewhere = os.path.isfile(self.private_data.args), self._is_project_elsewhere()
        if whole_command or elsewhere or is_collection_playbook(playbook):
            return
        if not os.path.isfile(self.private_data.cwd / playbook):
            none = "" if self.private_data.cwd != self.private_data.path else ", which has no project directory"
            raise MissingError(
                f"the playbook {playbook} does not exist in {self.private_data.cwd}{none}", hint=self._meant(playbook)
            )

    def _meant(self, playbook: str) -> str | None:
        """What was meant, if the path is one of the working directory, or begins with ``project/``."""
        for found in (os.path.abspath(playbook), os.path.join(self.private_data.path, playbook)):
            relative = os.path.relpath(found, self.private_data.cwd)
            if os.path.isfile(found) and not relative.startswith("../"):
                return f"did you mean -p {relative}?"
        return None

    def _is_project_elsewhere(self) -> bool:
        """Whether the job may see another project than the one that travels: another working directory in its
        container, or something mounted over it."""
        settings = self.private_data.settings(self.kwargs.get("settings"))
        if settings.get("container_workdir", self.kwargs.get("container_workdir")):
            return True
        mounts = settings.get("container_volume_mounts", self.kwargs.get("container_volume_mounts")) or []
        targets = [str(mount).split(":")[1:2] for mount in mounts]
        return any(
            target and f"{CONTAINER_HOME}/project/".startswith(f"{target[0].rstrip('/')}/") for target in targets
        )

    def _arrange_inventory(self) -> None:
        source = self.kwargs.get("inventory")
        if isinstance(source, list) and len(source) == 1:
            source = source[0]
        if source:
            bases = (self.private_data.inventory, self.private_data.path)
            given = OutgoingInventory(
                self.private_data,
                (Path.cwd(), *bases) if self._options.typed else bases,
                self.report,
                typed=self._options.typed,
            )
            source = self._here(source) if isinstance(source, str) else source
            if self.with_archive:
                self.kwargs["inventory"] = given.travelling(source)
                self._extra += given.entries
            else:
                self.kwargs["inventory"] = given.staying(source, by_text=self._options.in_place)

    def _here(self, path: str) -> str:
        """Where ``path`` is on this machine, if it is the path in a container."""
        inside = PathMap([(str(self.private_data.path), CONTAINER_HOME)]).outside(path)
        return inside if inside != path and os.path.exists(inside) and not os.path.exists(path) else path

    def _arrange_roles(self) -> None:
        """Roles from elsewhere travel in ``roles``; a path below the private data dir becomes relative to that."""
        given = self._parameters.get("roles_path") or []
        paths = given.split(":") if isinstance(given, str) else [part for one in given for part in str(one).split(":")]
        envvars = dict(self.kwargs.get("envvars") or {})
        own = envvars.get("ANSIBLE_ROLES_PATH")
        if own:
            envvars["ANSIBLE_ROLES_PATH"] = ":".join(self._relative_roles(part) for part in str(own).split(":"))
            self.kwargs["envvars"] = envvars
        paths = [os.path.expanduser(part) for part in paths if part]
        if self._options.in_place:
            for part in paths:
                if not os.path.isdir(part):
                    logger.warning("the roles directory %s does not exist", part)
        if not paths or not self.with_archive:
            return
        taken = set(os.listdir(self.private_data.roles)) if os.path.isdir(self.private_data.roles) else set()
        for given_path in paths:
            found = [
                base / given_path for base in (Path.cwd(), self.private_data.path) if os.path.isdir(base / given_path)
            ]
            if not found:
                logger.warning("the roles directory %s does not exist", given_path)
                continue
            path = Path(os.path.abspath(found[0]))
            if relative_to(path, self.private_data.path) != "roles":
                skip = frozenset(f"roles/{name}" for name in taken)
                self._extra.append(collect(str(path), self.report, prefix="roles/", skip=skip))
                taken.update(os.listdir(path))
        joined = ":".join(filter(None, (OWN_ROLES, envvars.get("ANSIBLE_ROLES_PATH"))))
        self.kwargs["envvars"] = {**envvars, "ANSIBLE_ROLES_PATH": joined}

    def _relative_roles(self, part: str) -> str:
        if part.startswith("/") and relative_to(Path(part), self.private_data.path) is not None:
            return os.path.relpath(part, self.private_data.roles)
        return part

    def _arrange_extra_vars(self) -> None:
        """They come last, as on Ansible's command line. What is in ``env/extravars`` comes before them, so it travels
        with them."""
        texts = self._options.extra_vars
        if not texts:
            return
        own = self.private_data.env / "extravars"
        if not self.with_archive:
            self.kwargs["extravars"] = [_absolute_variables(text) for text in texts]
            return
        if os.path.isfile(own):
            texts = (f"@{own}", *texts)
            self._skip.add("env/extravars")
        ad_hoc = self.kwargs.get("module") or not os.path.isdir(self.private_data.project)
        words, entries = travelling(texts, "" if ad_hoc else "../")
        self._extra.append(entries)
        options = self.private_data.cmdline(self.kwargs.get("cmdline"))
        self.kwargs["cmdline"] = f"{options} {shlex.join(words)}".strip()

    def _check_resolved(self) -> None:
        """What the worker would refuse is told here, with the names that the files have here."""
        job = ResolvedJob.of(Parameters.from_wire(self.kwargs), self.private_data)
        for name in job.settings.keys() - set(SETTINGS):
            from difflib import get_close_matches

            for meant in get_close_matches(str(name), SETTINGS, 1, 0.8):
                logger.warning("%s/settings: %s is not known; did you mean %s?", self.private_data.env, name, meant)
        if job.ssh_key is not None and "PRIVATE KEY" not in job.ssh_key:
            logger.warning("%s/ssh_key does not look like a private key; ssh-add may refuse it", self.private_data.env)

    def _arrange_links(self) -> None:
        """What an input points to travels in its place, if it is a link that leads elsewhere."""
        for name in self._inputs():
            path = self.private_data.path / name
            if name in self._skip or not os.path.islink(path) or not self.private_data.leads_out(path):
                continue
            if not os.path.exists(path):
                logger.warning("%s is a link to %s, which does not exist", path, os.readlink(path))
                continue
            self._skip.add(name)
            self._extra.append(self._behind_link(path, name))

    def _inputs(self) -> Iterator[str]:
        yield from ("project", "inventory", "roles", "args", "env")
        if not os.path.islink(self.private_data.env) and os.path.isdir(self.private_data.env):
            yield from (f"env/{name}" for name in sorted(os.listdir(self.private_data.env)))

    def _behind_link(self, path: Path, name: str) -> Iterator[Entry]:
        found = path.stat()
        real = os.path.realpath(path)
        if not os.path.isdir(path):
            yield Entry(name, found.st_mode, found.st_mtime_ns, found.st_size, path=real)
            return
        yield Entry(name, found.st_mode, found.st_mtime_ns, path=real)
        yield from collect(real, self.report, prefix=f"{name}/", exclude=self._options.exclude)

    def _arrange_env(self, name: str, file: str) -> None:
        value = self.kwargs.get(name)
        if isinstance(value, dict) and value and not os.path.exists(self.private_data.path / file):
            self._extra.append([Entry.of_bytes(file, json.dumps(value).encode())])
            del self.kwargs[name]


def _private_data(path: str, *, typed: bool) -> PrivateDataDir:
    """A controller is told in ansible-runner's words."""
    try:
        return PrivateDataDir.existing(path)
    except MissingError as exc:
        if typed:
            raise
        raise MissingError(f"private_data_dir path is either invalid or does not exist: {exc}") from exc


def _leads_out(entry: Entry, top: str) -> bool:
    """Whether what a link names is not below ``top`` where the archive is extracted."""
    target = os.fsdecode(entry.data or b"")
    place = os.path.normpath(os.path.join(top, os.path.dirname(entry.name), target))
    return os.path.isabs(target) or not f"{place}/".startswith(f"{top}/")


def _absolute_variables(text: str) -> str:
    """:raises InputError: the file cannot be read."""
    if not text.startswith("@"):
        return text
    path = os.path.abspath(os.path.expanduser(text[1:]))
    if os.path.isdir(path) or not os.access(path, os.R_OK):
        raise MissingError(
            f"cannot read the file {text[1:] or path}: it is no file, does not exist, or is closed to us"
        )
    return f"@{path}"
