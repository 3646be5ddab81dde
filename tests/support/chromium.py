"""A headless Chromium, spoken to by its own protocol over a pipe (Chrome DevTools Protocol).

Rules: it has a profile of its own and asks no network for anything. It is gone afterwards."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "there is no Chromium (Debian: apt-get install chromium)"
_OPTIONS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--window-size=1200,900",
)  # fmt: skip
_CODES = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}


class Page:
    """One page. ``requested`` are the addresses that were asked for since it was opened."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.requested: list[str] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{name}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(message["params"])[:1000])
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])
        return message

    def open(self, file: Path) -> float:
        """Opens a report; after how many seconds its script was done."""
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.requested.clear()
        self.call("Page.navigate", url=file.as_uri())
        return (
            float(self.wait(f"location.href === '{file.as_uri()}' && document.documentElement?.dataset.ready")) / 1000
        )

    def value(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        until = time.monotonic() + seconds
        while not (value := self.value(expression)):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def type(self, *keys: str) -> None:
        """Each is a key by its name, or a text."""
        for key in keys:
            for one in [key] if key in _CODES else key:
                text = {} if one in _CODES else {"text": one}
                code = {"windowsVirtualKeyCode": _CODES[one]} if one in _CODES else {}
                self.call("Input.dispatchKeyEvent", type="keyDown", key=one, **text, **code)
                self.call("Input.dispatchKeyEvent", type="keyUp", key=one, **code)

    def dark(self) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def narrow(self) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)


@contextlib.contextmanager
def chromium(directory: Path) -> Iterator[Page]:
    """A page; skips if there is no browser."""
    if _PROGRAM is None:
        pytest.skip(NO_BROWSER)
    theirs, write = os.pipe()
    read, theirs_too = os.pipe()

    options = [*_OPTIONS, f"--user-data-dir={directory}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    # the numbers 3 and 4 are the protocol's, and a shell can give them
    shell = f'exec "$0" "$@" 3<&{theirs} 4>&{theirs_too}'
    process = subprocess.Popen(
        ["bash", "-c", shell, _PROGRAM, *options],
        pass_fds=(theirs, theirs_too),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(theirs_too)
    try:
        yield Page(write, read)
    finally:
        os.close(write)
        os.close(read)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
