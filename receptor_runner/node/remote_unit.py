"""Work for another node, as far as a node without neighbours can take it: it waits for ever, or until it expires.

Rules: fields and texts are the daemon's (pkg/workceptor/remote_work.go)."""

from __future__ import annotations

import datetime

from ..receptor.control_protocol import SUBMIT_FIELDS, CommandError, seconds_of
from ..receptor.work_unit import UnitStatus
from ..stream.messages import JSONObject

__all__ = ["expired", "remote_extra"]

_NEVER = "0001-01-01T00:00:00Z"


def remote_extra(fields: JSONObject) -> JSONObject:
    """The extra data of a unit for another node.

    :raises CommandError: a field cannot be used.
    """
    if fields.get("tlsclient"):
        raise CommandError(f"unknown TLS config {fields['tlsclient']}")
    params = {name: value for name, value in fields.items() if name not in SUBMIT_FIELDS}
    expiration = _NEVER
    if fields.get("ttl"):
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_of(fields["ttl"]))
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


def expired(status: UnitStatus) -> str | None:
    """What the detail of a unit says that has waited for too long; None if it has not."""
    until = status.remote("Expiration")
    if until in (None, _NEVER) or status.ended:
        return None
    try:
        moment = datetime.datetime.fromisoformat(str(until).replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        return "Work unit has an expiration that is no time"
    if moment > datetime.datetime.now(datetime.timezone.utc):
        return None
    return f"Work unit expired on {moment:%a %b %d %H:%M:%S}"
