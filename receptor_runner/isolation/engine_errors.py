"""Understands what an engine or a sandbox said when it could not run a job.

Rules: no IO. An explanation has the engine's own words, and says what to do. Only the engine's words count: a command
may end as it likes."""

from __future__ import annotations

import re

from ..errors import InputError, ReceptorRunnerError, UnreachableError

__all__ = ["ENGINE_CODES", "did_not_run", "isolation_fault"]

#: Exit statuses that an engine ends with when it failed, or could not start the command (podman-run(1), docker-run(1)).
ENGINE_CODES = (125, 126, 127)

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")
_NOISE = re.compile(r"time=\S+ level=(?:warning|info)|WARN\[|See '|Run '|\s*$")
_ENGINES_WORDS = re.compile(r"Error: |docker: |time=\S+ level=(?:error|fatal)")
#: What a runtime says, or the shell that we put before the command.
_NOT_STARTED = re.compile(r"OCI|runc|crun|create failed|unable to start|exec|^sh: .*exec: ")
_SHELLS_WORDS = re.compile(r"sh: (?:line )?\d+: exec: .*(?:not found|ermission denied)")
_SANDBOXS_WORDS = re.compile(r"bwrap: .*")
_COMMAND = re.compile(
    r"executable file.* not found|exec:? .*(?:no such file|not found|permission denied)|execvp ", re.I
)
_MOUNT = re.compile(r"statfs (\S+?):? no such file|source path does not exist|error mounting|find source path", re.I)
_NAME = re.compile(r"name .* (?:is )?(?:already )?in use", re.I)
_IMAGE = re.compile(
    r"image not known|no such image|manifest unknown|unable to find image|unauthorized|pull access denied|short-name|"
    r"initializing source|reading manifest|requested access to the resource|invalid reference|authentication required|"
    r"pinging container registry",
    re.I,
)


def did_not_run(rc: int | None, said: str, *, sandbox: bool) -> bool:
    """Whether an engine or a sandbox ended before the command began.

    :param said: the end of the output, all of it if there was little.
    """
    lines = _lines(said)
    if sandbox:
        return rc == 1 and len(lines) == 1 and bool(_SANDBOXS_WORDS.match(lines[0]))
    if rc == ENGINE_CODES[0]:
        return not lines or bool(_ENGINES_WORDS.match(lines[-1]))
    if rc not in ENGINE_CODES or not lines:
        return False
    alone = len(lines) == 1 and bool(_SHELLS_WORDS.search(lines[0]))
    return alone or bool(_ENGINES_WORDS.match(lines[-1]) and _NOT_STARTED.search(lines[-1]))


def isolation_fault(kind: str, image: str, program: str, said: str) -> ReceptorRunnerError:
    """:param kind: ``podman``, ``docker`` or ``bwrap``.
    :param image: empty for a sandbox.
    :param program: what was to run inside.
    :param said: the end of the output.
    """
    lines = _lines(said) or ["it said nothing"]
    line = lines[-1].removeprefix("Error: ").removeprefix("docker: ").removeprefix("bwrap: ")[:1000].rstrip(".")
    where = f"the image {image}" if image else "the sandbox"
    if _MOUNT.search(line):
        return InputError(f"{kind} cannot mount what the job asks for: {line}; it must exist on the machine of the job")
    if _COMMAND.search(line):
        return UnreachableError(f"{where} cannot run {program}: {line}; it must have that program")
    if _NAME.search(line):
        return UnreachableError(f"a job of this ident runs in this private data dir already: {line}")
    if image and _IMAGE.search(line):
        return UnreachableError(
            f"{where} is not here and cannot be pulled: {line}; check its name, the network, and container_auth_data"
        )
    what = f"run a container of {image}" if image else "make a sandbox"
    return UnreachableError(f"{kind} cannot {what} here: {line}")


def _lines(said: str) -> list[str]:
    lines = [_ESCAPES.sub("", line).strip() for line in said.splitlines()]
    return [line for line in lines if not _NOISE.match(line)]
