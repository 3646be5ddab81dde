"""What an engine or a sandbox said when it could not run a job, as one of our errors.

Rules: no IO. The engine's own words are part of the explanation; the rest says what to do."""

from __future__ import annotations

import re

from ..errors import InputError, ReceptorRunnerError, UnreachableError

__all__ = ["ENGINE_CODES", "isolation_fault"]

#: Exit statuses that an engine ends with when the command did not run (podman-run(1), docker-run(1)).
ENGINE_CODES = (125, 126, 127)

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")
_NOISE = re.compile(r"^(?:time=\S+ level=(?:warning|info)|See '|Run '|\s*$)")
_MOUNT = re.compile(
    r"statfs (\S+?):? no such file|source path does not exist|error mounting|Can't find source path", re.I
)
_COMMAND = re.compile(r"executable file.* not found|exec:? .*(?:no such file|not found)|execvp .*No such file", re.I)
_NAME = re.compile(r"name .* (?:is )?(?:already )?in use", re.I)
_IMAGE = re.compile(
    r"image not known|no such image|manifest unknown|unable to find image|pull(?:ing)? |unauthorized|denied: |"
    r"registry|registries|short-name|initializing source|authentication|no such host|"
    r"connection refused|certificate|HTTPS|invalid reference",
    re.I,
)


def isolation_fault(kind: str, image: str, program: str, said: str) -> ReceptorRunnerError:
    """:param kind: ``podman``, ``docker`` or ``bwrap``.
    :param program: what was to run inside.
    :param said: the end of the output.
    """
    line = _line(said)
    if _MOUNT.search(line):
        return InputError(f"{kind} cannot mount what the job asks for: {line}; it must exist on the machine of the job")
    if not image:
        return UnreachableError(f"{kind} cannot make a sandbox here: {line}")
    if _COMMAND.search(line):
        return UnreachableError(f"the image {image} cannot run {program}: {line}; choose an image that has it")
    if _NAME.search(line):
        return UnreachableError(f"a job of this ident runs in this private data dir already: {line}")
    if _IMAGE.search(line):
        return UnreachableError(
            f"the image {image} is not here and cannot be pulled: {line}; "
            "check its name, the network, and container_auth_data"
        )
    return UnreachableError(f"{kind} cannot run a container of {image} here: {line}")


def _line(said: str) -> str:
    """The error among what was said; the last of it if several lines look alike."""
    lines = [_ESCAPES.sub("", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if not _NOISE.match(line)]
    errors = [line for line in lines if re.match(r"error|docker:|bwrap:|\w*sh: ", line, re.I)]
    chosen = (errors or lines or ["it said nothing"])[-1]
    return chosen.removeprefix("Error: ").removeprefix("docker: ")[:1000].rstrip(".")
