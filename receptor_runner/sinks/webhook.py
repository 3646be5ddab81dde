"""The sink ``webhook``: a POST with the final status and a summary, when the job has ended.

Rules: it is tried again if the server cannot be reached, is busy, or has a fault, and not if it refuses. Every try has
the same body, and says in ``X-Receptor-Runner-Delivery`` that it is the same. With a secret, the header
``X-Receptor-Runner-Signature`` is ``sha256=`` and the HMAC (RFC 2104) of the body in hexadecimal. A redirection is not
followed: the summary is for one server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import UnreachableError
from ..results.masked_events import EventMasker
from ..results.sinks import EventSink
from ..stream.messages import JSONObject
from .summary import Summary

__all__ = ["Webhook"]

_PAUSES = (0.5, 1.5)
_TRY_SECONDS = 2.5
#: Answers after which another try may help (RFC 9110).
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


class Webhook(EventSink):
    """:param secret: signs the body, if there is one."""

    whole = True

    def __init__(self, url: str, summary: Summary, masker: EventMasker, secret: bytes | None, version: str) -> None:
        self._url, self._login = _without_login(url)
        self._secret = secret
        self._summary = summary
        self._version = version
        self._masker = masker

    def event(self, name: str, data: JSONObject, raw: bytes) -> bool:
        self._summary.event(data)
        return True

    def finished(self, result: Any) -> None:
        """:raises UnreachableError: the server did not take it."""
        body = json.dumps(self._summary.ended(result)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"receptor-runner/{self._version}",
            "X-Receptor-Runner-Delivery": str(uuid.uuid4()),
        }
        if self._secret is not None:
            headers["X-Receptor-Runner-Signature"] = (
                f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}"
            )
        if self._login:
            headers["Authorization"] = f"Basic {base64.b64encode(self._login.encode()).decode()}"
        request = urllib.request.Request(self._url, body, headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirection)
        for pause in (*_PAUSES, None):
            fault, again = self._tried(opener, request)
            if fault is None:
                return
            if pause is None or not again:
                raise UnreachableError(self._masker.text(fault))
            time.sleep(pause)

    def _tried(self, opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> tuple[str | None, bool]:
        """Why it did not work, and whether another try may help."""
        try:
            with opener.open(request, timeout=_TRY_SECONDS):
                return None, False
        except urllib.error.HTTPError as exc:
            exc.close()
            return f"the server answers {exc.code} {exc.reason}", exc.code in _AGAIN
        except (OSError, http.client.HTTPException, ValueError) as exc:
            reason = getattr(exc, "reason", None) or exc
            return f"the server cannot be reached: {reason or type(exc).__name__}", True


def _without_login(url: str) -> tuple[str, str]:
    """The URL without ``user:password@``, and that; empty if there is none."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return (urlunsplit(parts._replace(netloc=host)), unquote(login)) if at else (url, "")
