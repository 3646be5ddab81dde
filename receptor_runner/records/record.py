"""One submitted job: what a follower needs to go on after a crash of anything.

Rules: no IO. The JSON form is that of the first version, so a record outlives upgrades in both directions. What cannot
be understood is a ``ValueError``."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..receptor.address import Address
from ..receptor.work_unit import check_unit_id
from ..results.verdict import Verdict
from ..stream.messages import JSONObject

__all__ = ["DETACHED", "GOING_ON", "PENDING", "RUNNING", "UNREACHABLE", "Record", "Route", "UnitRef"]

#: States of a job that has not ended, as far as is known here.
PENDING = "pending"
RUNNING = "running"
DETACHED = "detached"
UNREACHABLE = "unreachable"
#: Those of a job that has not ended, as far as is known.
GOING_ON = (PENDING, RUNNING, DETACHED, UNREACHABLE)


_KINDS: dict[str, type | tuple[type, ...]] = {
    "private_node": str,
    "settings": dict,
    "created": (int, float),
    "ended": (int, float),
    "explanation": str,
    "status": str,
    "rc": int,
    "missing_events": int,
    "ttl": str,
    "tlsclient": str,
}


@dataclass(frozen=True)
class Route:
    """Where a job runs, and how to get there. ``local``: the node that we are connected to runs it itself."""

    node: str
    worktype: str
    local: bool = False
    ttl: str | None = None
    signwork: bool = False
    #: The daemon's ``tls-client`` for the way to the node.
    tlsclient: str | None = None

    @property
    def direct(self) -> bool:
        """Whether results may be read at the node itself: a signed worktype wants a signature for that."""
        return not self.local and not self.signwork


@dataclass
class UnitRef:
    """One work unit. ``unit`` is its id at the node that we are connected to, ``remote_unit`` at the node that runs
    it, once that is known."""

    unit: str
    node: str
    local: bool
    remote_unit: str | None = None

    @property
    def far_unit(self) -> str:
        """Its id where it runs, as far as is known."""
        return self.remote_unit or self.unit

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> UnitRef:
        """:raises ValueError: it is no unit."""
        local, remote = data.get("local"), data.get("remote_unit")
        if not isinstance(local, bool):
            raise ValueError("it does not say whether a unit is local")
        try:
            return cls(check_unit_id(str(data["unit"])), str(data.get("node")), local, remote)
        except (KeyError, UsageError) as exc:
            raise ValueError(f"it has a unit without an id: {exc}") from exc

    def to_json(self) -> JSONObject:
        return {"unit": self.unit, "node": self.node, "local": self.local, "remote_unit": self.remote_unit}


@dataclass
class Record:
    """One job. Times are seconds since the epoch."""

    id: str
    private_data_dir: str
    artifact_dir: str
    address: Address
    route: Route
    #: Whether another controller submitted it: its units are then not ours to release unasked.
    adopted: bool = False
    #: The directory of the private node that runs it, if one does.
    private_node: str | None = None
    settings: JSONObject = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    #: Its work units: one today.
    units: list[UnitRef] = field(default_factory=list)
    #: What is known of a job that has not ended, and why.
    phase: str = PENDING
    note: str | None = None
    #: How it ended; None as long as that is not known.
    verdict: Verdict | None = None
    ended: float | None = None
    #: Whether everything that the job said is saved and was handled.
    delivered: bool = False
    #: Whether its work units are gone, or will be without us.
    released: bool = False
    #: Whether its node has accepted all of it.
    accepted: bool = True
    #: What it runs: a playbook, ``-m MODULE`` or ``-r ROLE``; empty if that is not known.
    playbook: str = ""
    #: A digest over its parameters and what travelled; empty if that is not known.
    digest: str = ""
    #: Whether it travelled encrypted.
    sealed: bool = False
    #: What its results are sealed with, in hex; empty if they are not.
    results_key: str = ""

    @property
    def state(self) -> str:
        return self.verdict.state if self.verdict is not None else self.phase

    @property
    def where(self) -> str:
        """What runs it, for people."""
        return "this machine" if self.private_node else self.route.node

    @property
    def explanation(self) -> str | None:
        return self.verdict.explanation if self.verdict is not None else self.note

    @classmethod
    def damaged(cls, job: str) -> Record:
        """Stands for a record that could not be read."""
        return cls(job, "", "", Address(""), Route("", ""), phase="damaged")

    def to_json(self) -> JSONObject:
        verdict = self.verdict
        return {
            "id": self.id,
            "private_data_dir": self.private_data_dir,
            "artifact_dir": self.artifact_dir,
            "endpoint": self.address.to_json(),
            "node": self.route.node,
            "worktype": self.route.worktype,
            "signwork": self.route.signwork,
            "tlsclient": self.route.tlsclient,
            "ttl": self.route.ttl,
            "adopted": self.adopted,
            "private_node": self.private_node,
            "settings": self.settings if not self.sealed else {},
            "created": self.created,
            "units": [unit.to_json() for unit in self.units],
            "state": self.state,
            "status": verdict.status if verdict is not None else None,
            "rc": verdict.rc if verdict is not None else None,
            "exit_code": verdict.exit_code if verdict is not None else None,
            "explanation": self.explanation if not self.results_key else None,
            "missing_events": verdict.missing_events if verdict is not None else None,
            "ended": self.ended,
            "delivered": self.delivered,
            "released": self.released,
            "accepted": self.accepted,
            "playbook": self.playbook if not self.sealed else "",
            "digest": self.digest,
            "sealed": self.sealed,
            "results_key": self.results_key,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], job: str) -> Record:
        """:raises ValueError: it is no record of ``job``."""
        texts = {name: data.get(name) for name in ("private_data_dir", "artifact_dir", "node", "worktype", "state")}
        texts["state"] = texts["state"] or PENDING
        if data.get("id") != job or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("it is not that of this job")
        _check_types(data)
        if not isinstance(data.get("endpoint"), dict):
            raise ValueError("it names no socket")
        if not isinstance(data.get("units"), list):
            raise ValueError("it has no list of units")
        units = [UnitRef.from_json(unit) for unit in data["units"]]
        explanation = data.get("explanation")
        verdict = _verdict(data)
        return cls(
            job,
            str(texts["private_data_dir"]),
            str(texts["artifact_dir"]),
            dataclasses.replace(Address.from_json(data["endpoint"]), private=bool(data.get("private_node"))),
            _route(data, local=bool(units) and units[0].local),
            adopted=bool(data.get("adopted")),
            private_node=data.get("private_node"),
            settings=data.get("settings") or {},
            created=float(data.get("created") or 0.0),
            units=units,
            phase=str(texts["state"]) if verdict is None else RUNNING,
            note=explanation if verdict is None else None,
            verdict=verdict,
            ended=data.get("ended"),
            delivered=bool(data.get("delivered")),
            released=bool(data.get("released")),
            accepted=bool(data.get("accepted", True)),
            playbook=str(data.get("playbook") or ""),
            digest=str(data.get("digest") or ""),
            sealed=bool(data.get("sealed")),
            results_key=_hex(data.get("results_key")),
        )


def _hex(value: object) -> str:
    """:raises ValueError: it is none."""
    return bytes.fromhex(str(value)).hex() if value else ""


def _check_types(data: Mapping[str, Any]) -> None:
    """:raises ValueError: a value is not what it has to be, or no path can be that text."""
    for name, kinds in _KINDS.items():
        if data.get(name) is not None and not isinstance(data[name], kinds):
            raise ValueError(f"its {name} is a {type(data[name]).__name__}")
    for name in ("private_data_dir", "artifact_dir", "private_node"):
        if "\0" in str(data.get(name)):
            raise ValueError(f"its {name} is no path")


def _route(data: Mapping[str, Any], *, local: bool) -> Route:
    return Route(
        str(data["node"]),
        str(data["worktype"]),
        local,
        data.get("ttl"),
        bool(data.get("signwork")),
        data.get("tlsclient"),
    )


def _verdict(data: Mapping[str, Any]) -> Verdict | None:
    code, state = data.get("exit_code"), str(data.get("state"))
    if not isinstance(code, int) or not 0 <= code < 256:
        return None
    missing = data.get("missing_events") or 0
    return Verdict(state, str(data.get("status") or state), code, data.get("rc"), data.get("explanation"), missing)
