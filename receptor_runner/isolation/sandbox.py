"""The command of ``bwrap`` that runs a job's command in a sandbox of this machine's own file system.

Rules: system directories are read-only, the private data dir is writable, everything else is not there; of two rules
for nested paths the inner one counts. Nothing is made on the disk for what is hidden. No session of its own, or
nothing could ask for a password. Source: bwrap(1)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from .executable import find_executable
from .wanted import Wanted

__all__ = ["sandbox_path", "sandboxed"]

logger = logging.getLogger(__name__)

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/usr", "/opt")
#: What a program needs of the directory that it is installed in.
_PREFIX = ("bin", "lib", "lib64", "pyvenv.cfg")
#: Where a name server's address may be: ``/etc`` has a link to it.
_RESOLVER = "/etc/resolv.conf"
#: Of two rules for one path the later one counts.
_KINDS = ("system", "hide", "read-only", "show")


def sandbox_path(wanted: Wanted, own: Callable[[str], None]) -> str:
    """A new directory below ``process_isolation_path``, for the job's temporary files.

    :param own: told of it before it is made.
    :raises InputError: there is no such place to write to.
    """
    path = os.path.join(os.path.abspath(wanted.temporary), f"rr-{secrets.token_hex(4)}")
    own(path)
    try:
        os.mkdir(path, 0o700)
    except OSError as exc:
        raise InputError(f"process_isolation_path cannot be used: {wanted.temporary}: {exc.strerror}") from exc
    return path


def sandboxed(
    wanted: Wanted, argv: Sequence[str], program: str, env: Mapping[str, str], cwd: str, writable: Iterable[str]
) -> list[str]:
    """``argv`` with the sandbox around it.

    :param program: what of ``argv`` is Ansible's.
    :param writable: directories that are the job's own.
    :raises UnreachableError: there is no ``bwrap``.
    """
    command = [find_executable(wanted.executable, env["PATH"]), "--die-with-parent", "--unshare-pid"]
    command += ["--dev-bind", "/dev", "/dev", "--proc", "/proc", "--dir", "/tmp"]
    rules = _rules(wanted, program, env["PATH"], writable)
    for path, kind in sorted(rules.items(), key=lambda rule: rule[0].rstrip("/").count("/")):
        command += _arguments(path, kind)
    return [*command, "--chdir", os.path.realpath(cwd), *argv]


def _rules(wanted: Wanted, program: str, path: str, writable: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}

    def add(paths: Iterable[str], kind: str) -> None:
        for one in paths:
            if os.path.lexists(one):
                real = one if kind == "system" else os.path.realpath(one)
                found[real] = max(kind, found.get(real, kind), key=_KINDS.index)
            elif kind != "system":
                logger.warning("the sandbox cannot %s %s: it does not exist", kind, one)

    installed = (os.path.realpath(_RESOLVER), *_program_files(program, path))
    add((*_SYSTEM, *(one for one in installed if not _is_shown(one))), "system")
    add(wanted.hide, "hide")
    add(wanted.read_only, "read-only")
    add((*writable, *wanted.show), "show")
    return found


def _arguments(path: str, kind: str) -> list[str]:
    if kind == "hide":
        return ["--tmpfs", path] if os.path.isdir(path) else ["--ro-bind", "/dev/null", path]
    if kind == "system" and os.path.islink(path):
        return ["--symlink", os.readlink(path), path]
    return ["--bind" if kind == "show" else "--ro-bind", path, path]


def _program_files(program: str, path: str) -> Iterator[str]:
    """What is needed of a program that is not installed with the system: a virtual environment and what it was made
    from.
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


def _is_shown(path: str) -> bool:
    return any(path == top or path.startswith(top + "/") for top in _SYSTEM)
