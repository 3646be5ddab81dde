"""Events without their secrets, for whoever shows them to somebody else.

Rules: no IO. What is masked in the description of a command is masked here: values whose names say that they may be
secret, and passwords and keys of the job that are known. The result of a ``no_log`` task never appears, whoever wrote
the event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..preparation.masking import Masker
from ..stream.messages import JSONObject

__all__ = ["EventMasker"]

_CENSORED = {"censored": "the output has been hidden: no_log"}


class EventMasker:
    """:param secrets: passwords and keys of the job."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._masker = Masker(secrets)

    def text(self, text: str) -> str:
        """``text`` without the secrets in it."""
        return self._masker.text(text)

    def event(self, event: JSONObject) -> JSONObject:
        """A copy of ``event`` that may be shown."""
        masked = dict(event)
        for name in ("stdout", "event_data"):
            if name in masked:
                masked[name] = self._masker.structure(_without_hidden(masked[name]))
        return masked


def _without_hidden(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("res"), dict):
        return value
    result = value["res"]
    if result.get("_ansible_no_log") is True:
        return {**value, "res": _CENSORED}
    items = result.get("results")
    if isinstance(items, list) and any(isinstance(one, dict) and one.get("_ansible_no_log") is True for one in items):
        shown = [_CENSORED if isinstance(one, dict) and one.get("_ansible_no_log") is True else one for one in items]
        return {**value, "res": {**result, "results": shown}}
    return value
