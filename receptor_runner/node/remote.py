"""Work for another node, as far as a node without peers can take it: it waits for ever, or until it expires.

Rules: fields and texts are the daemon's (pkg/workceptor/remote_work.go).
"""

from __future__ import annotations

import datetime
import re

from ..control import SUBMIT_FIELDS, CommandError
from ..messages import JSONObject
from ..workunit import UnitStatus

__all__ = ["expired", "remote_extra"]

_NEVER = "0001-01-01T00:00:00Z"
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def remote_extra(fields: JSONObject) -> JSONObject:
    """The extra data of a unit for another node.

    :raises CommandError: a field cannot be used.
    """
    if fields.get("tlsclient"):
        raise CommandError(f"unknown TLS config {fields['tlsclient']}")
    params = {name: value for name, value in fields.items() if name not in SUBMIT_FIELDS}
    expiration = _NEVER
    if fields.get("ttl"):
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=_seconds(fields["ttl"]))
        expiration = until.isoformat().replace("+00:00", "Z")
    return {
        "RemoteNode": fields["node"],
        "RemoteWorkType": fields["worktype"],
        "RemoteParams": params,
        "RemoteUnitID": "",
        "RemoteStarted": False,
        "LocalCancelled": False,
        "LocalReleased": False,
        "SignWork": fields.get("signwork") == "true",
        "TLSClient": "",
        "Expiration": expiration,
    }


def _seconds(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(parts) != text:
        raise CommandError(f'time: invalid duration "{text}"')
    return sum(float(re.split(r"[a-zµ]", part)[0]) * _UNITS[re.sub(r"[\d.]", "", part)] for part in parts)


def expired(status: UnitStatus) -> str | None:
    """What the detail of a unit says that has waited for too long; None if it has not."""
    until = status.remote("Expiration")
    if until in (None, _NEVER) or status.ended:
        return None
    moment = datetime.datetime.fromisoformat(str(until).replace("Z", "+00:00"))
    if moment > datetime.datetime.now(datetime.timezone.utc):
        return None
    return f"Work unit expired on {moment.astimezone():%a %b %d %H:%M:%S}"
