"""A job's fact cache: one file for each host, the same for every controller and every ansible-core.

Rules: what a controller sends and finds are files that are named like their hosts, with the facts as JSON.
ansible-core 2.19 and newer reads and writes ``s1_HOST`` with ``{"__payload__": "<JSON with tags>"}`` instead
(ansible/_internal/_plugins/_cache.py). Such files are there while a job runs, and only then. What was not changed
keeps its content and its modification time. The directory is opened before the job starts, and every file is reached by
that descriptor. No link is followed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import importlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from ..errors import OutputError
from ..limits import MAX_FACTS
from ..stream.bounded_json import check_bounds, parse_json
from ..system.arguments import is_utf8
from ..system.below import open_file, read_whole

__all__ = ["FactCache", "kept_facts", "plain_facts"]

logger = logging.getLogger(__name__)

_PREFIX = "s1_"
_PAYLOAD = "__payload__"
#: How such a file begins.
_TAGGED = f'{{"{_PAYLOAD}"'
#: The first ansible-core with files of its own.
_TAGGING_CORE = (2, 19)
#: What has a meaning of its own for Ansible, and must not get one by way of a managed host's facts; an escape may
#: hide it.
_MEANINGFUL = ("__ansible", "\\u00")


@contextlib.contextmanager
def kept_facts(
    directory: str,
    core: str | None,
    opened: Callable[[str], int],
    write_json: Callable[[str, object], None],
    hurried: Callable[[], bool],
) -> Iterator[None]:
    """While the context lasts, the fact cache ``directory`` has the form that ``core`` wants. Afterwards the artifact
    ``fact_cache_modified.json`` says whose facts were written and whose were cleared, because the clocks of two
    machines cannot be compared.

    :param directory: empty if the job has none of its own.
    :param opened: opens it, made if it is missing, without following a link.
    :param write_json: writes an artifact, by name.
    :param hurried: asked after each file; whether there is no time for more of them.
    :raises OutputError: a file cannot be written.
    """
    if not directory:
        yield
        return
    cache = FactCache(directory, core, opened, hurried)
    with cache:
        with _telling(directory):
            cache.translate()
        try:
            yield
        except BaseException:
            with contextlib.suppress(OutputError):  # what ended the job is told, and not what came of it here
                _tell_changes(cache, write_json)
            raise
        _tell_changes(cache, write_json)


def _tell_changes(cache: FactCache, write_json: Callable[[str, object], None]) -> None:
    with _telling(cache.path):
        modified, cleared = cache.translate_back()
    write_json("fact_cache_modified.json", {"modified_files": modified, "cleared_files": cleared})


@contextlib.contextmanager
def _telling(directory: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutputError(f"cannot write the fact cache {directory}: {exc.strerror}") from exc


class _Seen(NamedTuple):
    """What tells whether a file was written since."""

    mtime_ns: int
    size: int
    inode: int


class FactCache:
    """The directory of one job's facts. ``core`` is the version of the ansible-core that will use it; None if it is
    not known. In a ``with``, no other job translates it, and it stays the same directory, whatever comes to have its
    name. If it is no directory, or another job holds it, it is left alone.
    """

    def __init__(
        self,
        directory: str,
        core: str | None,
        opened: Callable[[str], int],
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._hurried = hurried
        self.path = directory
        self._opened = opened
        self._tagging = core is None or _is_tagging(core)
        self._before: dict[str, _Seen] = {}
        self._copies: dict[str, _Seen] = {}
        self._lock = -1

    def __enter__(self) -> FactCache:
        try:
            self._lock = self._opened(self.path)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            logger.warning("the fact cache %s is left as it is: %s", self.path, exc.strerror)
            self.__exit__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def translate(self) -> None:
        """Before the job: the files that its ansible-core reads are there.

        :raises OSError: one cannot be written.
        """
        if self._lock < 0:
            return
        self._settle(newer_only=True)
        self._before = self._files()
        if self._tagging:
            for host, seen in self._before.items():
                if self._hurried():
                    return
                self._translate(host, seen)
            self._copies = {
                name.removeprefix(_PREFIX): seen for name, seen in self._files().items() if name not in self._before
            }

    def _translate(self, host: str, seen: _Seen) -> None:
        try:
            if _PREFIX + host in self._before:
                raise ValueError(f"a host is called {_PREFIX}{host}")
            self._write(_PREFIX + host, _payload(self._read(host)), seen.mtime_ns)
        except (ValueError, RecursionError) as exc:
            logger.warning("the facts of %s cannot be used: %s", host, exc)
        except OSError as exc:
            if exc.errno != errno.ENAMETOOLONG:
                raise
            logger.warning("the facts of %s cannot be used: %s", host, exc.strerror)

    def translate_back(self) -> tuple[list[str], list[str]]:
        """After the job: the files that a controller reads are there. The hosts whose facts were written meanwhile,
        and those whose facts were cleared.

        :raises OSError: one cannot be written.
        """
        if self._lock < 0:
            return [], []
        found = self._files()
        for host, copied in self._copies.items():
            name = _PREFIX + host
            if name not in found and found.get(host) == self._before[host]:
                os.unlink(host, dir_fd=self._lock)
            elif found.get(name) == copied:
                os.unlink(name, dir_fd=self._lock)
        self._settle(newer_only=False)
        found = self._files()
        modified = sorted(host for host, seen in found.items() if self._before.get(host) != seen)
        return modified, sorted(set(self._before) - set(found))

    def _settle(self, *, newer_only: bool) -> None:
        """Turns every file that has ansible-core's form into one that has a controller's, or removes it if there is a
        newer one.
        """
        found = self._files()
        for name, seen in found.items():
            if self._hurried():
                return
            if not self._is_tagged(name):
                continue
            host = name.removeprefix(_PREFIX)
            if not newer_only or host not in found or found[host].mtime_ns < seen.mtime_ns:
                try:
                    facts = plain_facts(parse_json(self._read(name)))
                    if not self._is_known(host, facts, found.get(host)):
                        self._write(host, json.dumps(facts), seen.mtime_ns)
                except (ValueError, RecursionError) as exc:
                    logger.warning("the facts of %s cannot be used: %s", host, exc)
                    continue
            os.unlink(name, dir_fd=self._lock)

    def _is_known(self, host: str, facts: object, seen: _Seen | None) -> bool:
        """Whether ``facts`` say nothing new. ansible-core 2.21 writes the facts of every host again, also if there are
        none.
        """
        if seen is None or seen != self._before.get(host):
            return seen is None and facts == {}
        with contextlib.suppress(ValueError, RecursionError):
            return bool(parse_json(self._read(host)) == facts)
        return False

    def _files(self) -> dict[str, _Seen]:
        """What there is now, by name."""
        found = {}
        with os.scandir(self._lock) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".") and is_utf8(entry.name):
                    seen = entry.stat(follow_symlinks=False)
                    found[entry.name] = _Seen(seen.st_mtime_ns, seen.st_size, seen.st_ino)
        return found

    def _is_tagged(self, name: str) -> bool:
        """A host may be called ``s1_x`` too."""
        if not name.startswith(_PREFIX):
            return False
        try:
            return self._read(name, len(_TAGGED)) == _TAGGED
        except ValueError:
            return False

    def _read(self, name: str, size: int = -1) -> str:
        """:raises ValueError: it cannot be read, or is not text."""
        try:
            fd = open_file(name, self._lock)
            if size < 0:
                return read_whole(fd, MAX_FACTS).decode()
            with os.fdopen(fd, "rb") as file:
                return file.read(size).decode()
        except OSError as exc:
            raise ValueError(exc.strerror) from exc

    def _write(self, name: str, text: str, mtime_ns: int) -> None:
        """Writes in place: nobody reads while this is done."""
        try:
            os.unlink(name, dir_fd=self._lock)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError) as exc:
            raise ValueError(f"something else has the name {name}: {exc.strerror}") from exc
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._lock)
        with os.fdopen(fd, "wb", buffering=0) as file:
            view = memoryview(text.encode())
            while view:
                view = view[file.write(view) or 0 :]
            os.utime(fd, ns=(mtime_ns, mtime_ns))


def plain_facts(data: Any) -> Any:
    """The content of a file of any ansible-core as a controller knows it: without tags."""
    payload = data.get(_PAYLOAD) if isinstance(data, dict) else None
    if not isinstance(payload, str):
        return data
    check_bounds(payload.encode("utf-8", "surrogatepass"))
    return json.loads(payload, object_hook=_untagged)


def _untagged(value: dict[str, Any]) -> Any:
    """A value without what ansible-core notes about where it came from (ansible/module_utils/_internal/_datatag)."""
    if "__ansible_type" not in value:
        return value
    plain = value.get("value", value.get("iso8601"))
    return {"__ansible_vault": plain} if value["__ansible_type"] == "EncryptedString" else plain


def _payload(text: str) -> str:
    """The content of a file in ansible-core's form with the facts ``text``. Nothing in it is trusted.

    :raises ValueError: they are not JSON, as far as they were looked at.
    """
    if any(word in text for word in _MEANINGFUL):
        check_bounds(text.encode())
        text = json.dumps(json.loads(text, object_hook=_untrusted))
    return f"{_TAGGED}: {_quoter()(text)}}}"


@functools.cache
def _quoter() -> Callable[[str], str]:
    """msgspec writes a text as JSON four times as fast."""
    try:
        encode: Callable[[str], bytes] = importlib.import_module("msgspec.json").encode
    except ImportError:  # no wheel for this machine
        return encode_basestring
    return lambda text: encode(text).decode()


def _untrusted(value: dict[str, Any]) -> Any:
    """A text that an older version marked as unsafe becomes a plain text. A type of ansible-core's own is dropped,
    because plain facts have none. What a host calls encrypted is not decrypted.
    """
    if set(value) == {"__ansible_unsafe"}:
        return value["__ansible_unsafe"]
    return {name: one for name, one in value.items() if name != "__ansible_type"}


def _is_tagging(core: str) -> bool:
    numbers = re.findall(r"\d+", core)[:2]
    return tuple(map(int, numbers)) >= _TAGGING_CORE
