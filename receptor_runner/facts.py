"""A job's fact cache: one file a host, the same for every controller and every ansible-core.

Rules: what a controller sends and finds are files named like their hosts, with the facts as JSON. ansible-core 2.19
and newer reads and writes ``s1_HOST`` with ``{"__payload__": "<JSON with tags>"}`` instead
(ansible/_internal/_plugins/_cache.py), so such files are there while a job runs, and only then. Whatever was not
changed keeps its content and its modification time. No link is followed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .artifacts import ArtifactDir
from .errors import OutputError
from .replacement import replace_file

__all__ = ["FactCache", "kept_facts", "plain_facts"]

logger = logging.getLogger(__name__)

_PREFIX = "s1_"
_PAYLOAD = "__payload__"
#: The first ansible-core with files of its own.
_TAGGING_CORE = (2, 19)
#: What has a meaning of its own for Ansible, and must not get one by way of a managed host's facts; ``\\u`` may hide
#: it.
_MEANINGFUL = re.compile(r"__ansible|\\u00", re.ASCII)


@contextlib.contextmanager
def kept_facts(directory: str, core: str | None, artifacts: ArtifactDir) -> Iterator[None]:
    """While the context lasts, the fact cache ``directory`` is as ``core`` wants it. Afterwards the artifact
    ``fact_cache_modified.json`` says whose facts were written: times of two machines cannot be compared.

    :param directory: empty if the job has none.
    :raises OutputError: a file cannot be written.
    """
    if not directory:
        yield
        return
    cache = FactCache(directory, core)
    try:
        cache.open()
        try:
            yield
        finally:
            artifacts.write_json("fact_cache_modified.json", {"modified_files": cache.close()})
    except OSError as exc:
        raise OutputError(f"cannot write the fact cache {directory}: {exc.strerror}") from exc


class _Seen(NamedTuple):
    """What tells whether a file was written since."""

    mtime_ns: int
    size: int
    inode: int


class FactCache:
    """The directory of one job's facts. ``core`` is the version of the ansible-core that will use it, None if that is
    not known.
    """

    def __init__(self, directory: str, core: str | None) -> None:
        self._top = Path(directory)
        self._tagging = core is None or _is_tagging(core)
        self._before: dict[str, _Seen] = {}
        self._copies: dict[str, _Seen] = {}

    def open(self) -> None:
        """Before the job: the files that its ansible-core reads are there.

        :raises OSError: one cannot be written.
        """
        self._settle()
        self._before = self._files()
        if self._tagging:
            for host in self._before:
                try:
                    payload = _harmless(self._read(host) or "")
                except (ValueError, RecursionError) as exc:
                    logger.warning("the facts of %s cannot be used: %s", host, exc)
                    continue
                self._write(_PREFIX + host, json.dumps({_PAYLOAD: payload}), self._before[host].mtime_ns)
            self._copies = {name.removeprefix(_PREFIX): seen for name, seen in self._files(tagged=True).items()}

    def close(self) -> list[str]:
        """After the job: the files that a controller reads are there; the hosts whose facts were written meanwhile.

        :raises OSError: one cannot be written.
        """
        current = {name.removeprefix(_PREFIX): seen for name, seen in self._files(tagged=True).items()}
        for host, copied in self._copies.items():
            if host not in current and self._seen(host) == self._before[host]:
                (self._top / host).unlink(missing_ok=True)  # the job has cleared them
            elif current.get(host) == copied:
                (self._top / (_PREFIX + host)).unlink()
        self._settle()
        return sorted(host for host, seen in self._files().items() if self._before.get(host) != seen)

    def _settle(self) -> None:
        """Every file in ansible-core's form becomes one in a controller's, unless there is a newer one."""
        for name, seen in self._files(tagged=True).items():
            host = name.removeprefix(_PREFIX)
            plain = self._seen(host)
            if plain is None or plain.mtime_ns < seen.mtime_ns:
                text = self._read(name)
                try:
                    self._write(host, json.dumps(plain_facts(json.loads(text or ""))), seen.mtime_ns)
                except (ValueError, RecursionError) as exc:
                    logger.warning("the facts of %s cannot be used: %s", host, exc)
                    continue
            (self._top / name).unlink()

    def _files(self, *, tagged: bool = False) -> dict[str, _Seen]:
        """The files of one of the two forms, by name."""
        try:
            names = os.listdir(self._top)
        except OSError:
            return {}
        found = ((name, self._seen(name)) for name in names if not name.startswith(".") and _encodable(name))
        return {name: seen for name, seen in found if seen is not None and self._is_tagged(name) == tagged}

    def _seen(self, name: str) -> _Seen | None:
        with contextlib.suppress(OSError):
            found = os.lstat(self._top / name)
            if stat.S_ISREG(found.st_mode):
                return _Seen(found.st_mtime_ns, found.st_size, found.st_ino)
        return None

    def _is_tagged(self, name: str) -> bool:
        """A host may be called ``s1_x`` too."""
        return name.startswith(_PREFIX) and (self._read(name, 32) or "").startswith(f'{{"{_PAYLOAD}"')

    def _read(self, name: str, size: int = -1) -> str | None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            fd = os.open(self._top / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, encoding="utf-8") as file:
                return file.read(size)
        return None

    def _write(self, name: str, text: str, mtime_ns: int) -> None:
        replace_file(self._top / name, text.encode())
        os.utime(self._top / name, ns=(mtime_ns, mtime_ns))


def plain_facts(data: Any) -> Any:
    """The content of a file of any ansible-core as a controller knows it: without tags, secrets still encrypted."""
    payload = data.get(_PAYLOAD) if isinstance(data, dict) else None
    return json.loads(payload, object_hook=_untagged) if isinstance(payload, str) else data


def _untagged(value: dict[str, Any]) -> Any:
    """A value without what ansible-core notes about where it came from (ansible/module_utils/_internal/_datatag)."""
    if "__ansible_type" not in value:
        return value
    if "ciphertext" in value:
        return {"__ansible_vault": value["ciphertext"]}
    return value.get("value", value.get("iso8601"))


def _harmless(text: str) -> str:
    """``text`` as a payload in which nothing is trusted.

    :raises ValueError: it is not JSON, as far as it was looked at.
    """
    return json.dumps(json.loads(text, object_hook=_untrusted)) if _MEANINGFUL.search(text) else text


def _untrusted(value: dict[str, Any]) -> Any:
    """What older versions note themselves keeps its meaning; a type of ansible-core's own has none in plain facts."""
    if set(value) == {"__ansible_vault"}:
        return {"__ansible_type": "EncryptedString", "ciphertext": value["__ansible_vault"]}
    if set(value) == {"__ansible_unsafe"}:
        return value["__ansible_unsafe"]
    return {name: one for name, one in value.items() if name != "__ansible_type"}


def _is_tagging(core: str) -> bool:
    numbers = re.findall(r"\d+", core)[:2]
    return tuple(map(int, numbers)) >= _TAGGING_CORE


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
