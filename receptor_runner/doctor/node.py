"""Checks of a node: its worktype, its clock, and what its worker says about itself."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator

from .. import __version__
from ..errors import ConfigurationError, Interrupted, ReceptorRunnerError, RefusedError, UnreachableError
from ..mesh.route import RouteRequest, select_route
from ..mesh.waiting import run
from ..mesh.worker_queries import ask_worker_info
from ..records.record import Route
from ..records.trusted_keys import TrustedKeys
from ..sealing.envelope import fingerprint
from ..stream.messages import JSONObject
from ..system.signals import StopFlag, pause
from .finding import FAULT, Finding, fault, ok, room, signature_check, warning
from .link import Link, seconds_since

__all__ = ["NodeChecks"]

_GROUP = "The node"
#: Daemons advertise once a minute; tokens of signed work are good for minutes.
_CLOCK_SECONDS, _ADVERTISED_SECONDS = 30.0, 150.0


class NodeChecks:
    """What is found is kept for the checks behind: ``route``, and ``works`` if its worker can run a job.

    :param worktype: the one that is asked for; None for the usual one.
    :param container: whether jobs are to run in containers.
    """

    def __init__(
        self, link: Link, *, worktype: str | None, container: bool = False, flag: StopFlag | None = None
    ) -> None:
        self.route: Route | None = None
        self.works = False
        self._link = link
        self._worktype = worktype
        self._container = container
        self._flag = flag

    def findings(self) -> Iterator[Finding]:
        yield self._offer()
        yield from self._advertised_clock()
        if self.route is not None:
            yield from self._worker()

    def _offer(self) -> Finding:
        status = self._link.status
        assert status is not None
        request = RouteRequest(self._link.node, self._worktype, tlsclient=self._link.address.tlsclient)
        try:
            self.route = select_route(lambda: status, request, lambda seconds: pause(self._flag, seconds))
        except Interrupted:
            raise
        except RefusedError as exc:
            return fault(_GROUP, "control-tls", str(exc), exc.exit_code)
        except ReceptorRunnerError as exc:
            check = "worktype-missing" if self._worktype is None else "worktype-other"
            return fault(_GROUP, check, str(exc), exc.exit_code)
        node = status.node(self._link.node)
        if node.worktypes is None:
            text = f"{self.route.node} has not told its worktypes yet; {self.route.worktype} is tried"
            return warning(_GROUP, "worktype-unknown", text)
        signed = ", signed" if self.route.signwork else ""
        return ok(_GROUP, "worktype", f"{self.route.node} offers {self.route.worktype}{signed}")

    def _advertised_clock(self) -> Iterator[Finding]:
        """Only what is far off can be seen by an advertisement."""
        status = self._link.status
        assert status is not None
        age = seconds_since(status.node(self._link.node).seen)
        if age is not None and not -_CLOCK_SECONDS < age < _ADVERTISED_SECONDS:
            way = "slow" if age > 0 else "fast"
            text = f"by its last advertisement, the clock of {self._link.node} is {abs(age):.0f} s {way}"
            yield self._clock(text)

    def _clock(self, text: str) -> Finding:
        """Signed work is refused if clocks are apart."""
        if self.route is not None and self.route.signwork:
            return fault(_GROUP, "clock", text, RefusedError.exit_code)
        return warning(_GROUP, "clock", text)

    def _worker(self) -> Iterator[Finding]:
        assert self.route is not None
        asked = time.time()
        try:
            info = run(ask_worker_info(self._link.address, self.route), self._flag)
        except Interrupted:
            raise
        except ReceptorRunnerError as exc:
            yield self._silent(exc)
            return
        self.works = True
        yield from self._told(info, asked, time.time())

    def _silent(self, exc: ReceptorRunnerError) -> Finding:
        text = str(exc)
        signature = signature_check(text)
        if signature is not None:
            return fault(_GROUP, signature, text, RefusedError.exit_code)
        if "params" in text and "not allowed" in text:
            self.works = True
            return warning(_GROUP, "worktype-params", f"{self._link.node} takes jobs and no questions: {text}")
        if any(words in text for words in ("fork/exec", "no such file", "executable file not found")):
            return fault(_GROUP, "worker-command", text, ConfigurationError.exit_code)
        if "needs Python" in text or "SyntaxError" in text:
            return fault(_GROUP, "worker-python", text, ConfigurationError.exit_code)
        if isinstance(exc, RefusedError):
            return fault(_GROUP, "tls-other", text, exc.exit_code)
        return fault(_GROUP, "worker-answer", text, UnreachableError.exit_code)

    def _told(self, info: JSONObject, asked: float, answered: float) -> Iterator[Finding]:
        node, version = self._link.node, info.get("version")
        if version is None:
            yield warning(
                _GROUP, "worker-version", f"the worker of {node} is ansible-runner, {info.get('runner_version')}"
            )
        else:
            python = info.get("python_version", "unknown")
            yield ok(_GROUP, "worker", f"the worker of {node}: receptor-runner {version}, Python {python}")
            if version != __version__:
                yield warning(_GROUP, "worker-version", f"{node} has receptor-runner {version}, here is {__version__}")
        yield from self._told_ansible(info, ours=version is not None)
        yield from self._told_room(info)
        yield from self._told_engines(info)
        yield from self._told_payload(info)
        yield from self._told_clock(info, asked, answered)

    def _told_ansible(self, info: JSONObject, *, ours: bool) -> Iterator[Finding]:
        version, errors = info.get("ansible_core_version"), [str(one) for one in info.get("errors") or ()]
        if version is not None:
            yield ok(_GROUP, "node-ansible", f"ansible-core {version}")
        elif ours and not self._container:
            self.works = False
            text = f"{self._link.node} has no ansible-core, neither on PATH nor beside its worker"
            yield fault(_GROUP, "node-ansible", text, ConfigurationError.exit_code)
        for text in errors:
            if "ansible-playbook" not in text:
                yield warning(_GROUP, "node-errors", f"{self._link.node}: {text}")

    def _told_room(self, info: JSONObject) -> Iterator[Finding]:
        free = info.get("disk_free_in_bytes")
        if not isinstance(free, int):
            return
        found = room(_GROUP, "node-disk", f"on {self._link.node} where jobs work", free)
        self.works = self.works and found.level != FAULT
        yield found

    def _told_engines(self, info: JSONObject) -> Iterator[Finding]:
        if not self._container:
            return
        engines = [name for name in info.get("container_engines") or () if name != "bwrap"]
        if engines:
            yield ok(_GROUP, "node-engine", f"{self._link.node} has {' and '.join(engines)}")
        elif "container_engines" in info:
            self.works = False
            text = f"{self._link.node} has no container engine on its PATH"
            yield fault(_GROUP, "node-engine", text, UnreachableError.exit_code)

    def _told_payload(self, info: JSONObject) -> Iterator[Finding]:
        """What can travel less, and what can travel sealed."""
        node, store = self._link.node, info.get("store")
        if isinstance(store, dict) and isinstance(store.get("limit_in_bytes"), int):
            elsewhere = store.get("keeps_directories") is False
            more = (
                "; it keeps no directories, because jobs work on another file system or mount (TMPDIR), or in memory"
                if elsewhere
                else ""
            )
            text = f"{node} has a store of at most {store['limit_in_bytes'] / 1e9:.1f} GB{more}"
            yield ok(_GROUP, "node-store", text)
        try:
            key = base64.b64decode(str(info.get("seal_key") or ""), validate=True)
            trusted = TrustedKeys().get(node)
        except (binascii.Error, ReceptorRunnerError) as exc:
            yield warning(_GROUP, "node-seal-key", f"keys for sealed jobs cannot be looked at: {exc}")
            return
        if trusted is not None and key != trusted:
            told = fingerprint(key) if key else "it has none"
            text = (
                f"the key of {node} for sealed jobs is not the one that is trusted: {told}, and {fingerprint(trusted)}"
            )
            yield fault(_GROUP, "node-seal-key", text, RefusedError.exit_code)
        elif key:
            trust = "trusted" if trusted is not None else "not trusted here"
            works = " and works on them in memory" if info.get("seals_in_memory") else ""
            text = f"{node} opens sealed jobs{works}; its key is {trust}: {fingerprint(key)}"
            yield ok(_GROUP, "node-seal-key", text)

    def _told_clock(self, info: JSONObject, asked: float, answered: float) -> Iterator[Finding]:
        there = info.get("time")
        if not isinstance(there, (int, float)):
            return
        early, late = asked - there, there - answered
        if max(early, late) > _CLOCK_SECONDS:
            way, off = ("slow", early) if early > 0 else ("fast", late)
            yield self._clock(f"the clock of {self._link.node} is {off:.0f} s {way}")
        else:
            yield ok(_GROUP, "clock", f"the clock of {self._link.node} is right within {max(early, late, 1.0):.0f} s")
