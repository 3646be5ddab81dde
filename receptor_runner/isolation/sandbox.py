"""Runs a job's command in a sandbox of this machine's own file system: the command line of ``bwrap``.

Rules: system directories are read-only, the private data dir is writable, and nothing else is there. If two rules are
for nested paths, the inner one counts. What is reached through a link is there by both names. The sandbox has no
session of its own, because then nothing could ask for a password. Source: bwrap(1)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..job.private_data import PrivateDataDir
from .container_env import container_environment
from .executable import find_executable
from .files import make_file
from .isolated import Isolated
from .isolation import InnerCommand, WrappedCommand
from .path_map import PathMap
from .request import IsolationRequest

__all__ = ["SandboxIsolation"]

logger = logging.getLogger(__name__)

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/usr", "/opt")
#: What a program needs of the directory that it is installed in.
_PREFIX = ("bin", "lib", "lib64", "pyvenv.cfg")
#: Where a name server's address may be: ``/etc`` has a link to it.
_RESOLVER = "/etc/resolv.conf"
#: What every job needs, whatever else is asked for.
_SPECIAL = {
    "devices": ["--dev-bind", "/dev", "/dev"],
    "processes": ["--proc", "/proc"],
    "make": ["--dir", "/tmp"],
}
#: Of two rules for one path the later one counts.
_KINDS = ("hide", "read-only", "show")


class SandboxIsolation:
    """The sandbox of one job.

    :param scratch: a directory for the job's temporary files.
    :raises OutputError: a file cannot be written there.
    """

    def __init__(
        self, request: IsolationRequest, private_data: PrivateDataDir, artifact_dir: Path, scratch: str
    ) -> None:
        own = private_data.path.resolve()
        elsewhere = [path for path in (private_data.cwd, artifact_dir) if not path.resolve().is_relative_to(own)]
        self._request = request
        self._scratch = scratch
        self._writable = (str(private_data.path), *map(str, elsewhere), scratch)
        #: An empty file: what stands in the place of a hidden one.
        self._empty = Path(scratch, ".hidden")
        make_file(self._empty)
        seen = (*self._writable, *_SYSTEM, *request.show, *request.read_only)
        self.path_map = PathMap((path, path) for path in seen)
        self.mount_points: list[str] = []
        self.base_env: dict[str, str] = {**os.environ, "TMPDIR": scratch}

    def wrap(self, command: InnerCommand, env: Mapping[str, str]) -> WrappedCommand:
        """:raises UnreachableError: there is no ``bwrap``."""
        known = {**env, "TMPDIR": self._scratch}
        variables, shell = container_environment(command.env, known, answers=False)
        executable = find_executable(self._request.executable, env.get("PATH", ""))
        argv = [executable, "--die-with-parent", "--unshare-pid", *self._home(command.env)]
        rules = self._rules(command.program, command.env["PATH"])
        for target, (kind, source) in sorted(rules.items(), key=lambda rule: rule[0].rstrip("/").count("/")):
            argv += self._arguments(target, kind, source)
        argv += ["--chdir", command.cwd, *shell, *command.argv]
        isolated = Isolated(self._request.kind, command.program, env={**known, **variables})
        return WrappedCommand(argv, command.cwd, isolated)

    @staticmethod
    def _home(env: Mapping[str, str]) -> list[str]:
        home = env.get("HOME", "")
        return ["--dir", home] if os.path.isabs(home) and not _is_system(home) else []

    def _rules(self, program: str, path: str) -> dict[str, tuple[str, str]]:
        """What is done with each path inside: a kind, and the path outside."""
        installed = [
            one for one in (os.path.realpath(_RESOLVER), *_program_files(program, path)) if not _is_system(one)
        ]
        found = {one: ("system", one) for one in (*_SYSTEM, *installed) if os.path.lexists(one)}
        links = []
        for kind, given in self._asked():
            real = os.path.realpath(given)
            if not os.path.lexists(real):
                logger.warning("the sandbox cannot %s %s: it does not exist", kind, given)
                continue
            found[real] = (kind, real)
            if given != real:
                links.append((given, kind, real))
        for given, kind, real in links:
            if not any(given.startswith(f"{top}/") for top in found):
                found[given] = (kind, real)
        if "/" in found:
            found = {one: rule for one, rule in found.items() if rule[0] != "system"}
        found.setdefault("/tmp", ("make", "/tmp"))
        return {**found, "/dev": ("devices", "/dev"), "/proc": ("processes", "/proc")}

    def _asked(self) -> Iterator[tuple[str, str]]:
        request = self._request
        for kind, paths in zip(
            _KINDS, (request.hide, request.read_only, (*self._writable, *request.show)), strict=True
        ):
            for path in paths:
                yield kind, os.path.abspath(path)

    def _arguments(self, target: str, kind: str, source: str) -> list[str]:
        if kind in _SPECIAL:
            return _SPECIAL[kind]
        if kind == "hide":
            return ["--tmpfs", target] if os.path.isdir(source) else ["--ro-bind", str(self._empty), target]
        if kind == "system" and os.path.islink(source):
            return ["--symlink", os.readlink(source), target]
        return ["--bind" if kind == "show" else "--ro-bind", source, target]


def _program_files(program: str, path: str) -> Iterator[str]:
    """What a program needs that is not installed with the system: a virtual environment, and the Python that it was
    made from.
    """
    found = shutil.which(program, path=path)
    for file in dict.fromkeys((found, os.path.realpath(found)) if found else ()):
        top = Path(file).parent.parent
        for prefix in (top, *_interpreter_prefixes(top, file)):
            yield from (str(prefix / name) for name in _PREFIX)


def _interpreter_prefixes(top: Path, program: str) -> Iterator[Path]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        made_from = re.search(r"^home\s*=\s*(.+?)\s*$", (top / "pyvenv.cfg").read_text(), re.M)
        if made_from:
            yield Path(os.path.realpath(made_from[1])).parent
    with contextlib.suppress(OSError), open(program, "rb") as script:
        shebang = re.match(rb"#!\s*(/\S+)", script.read(256))
        if shebang:
            yield Path(os.path.realpath(os.fsdecode(shebang[1]))).parent.parent


def _is_system(path: str) -> bool:
    return any(Path(path).is_relative_to(top) for top in _SYSTEM)
