"""A registry of one image on this machine, for who knows its password.

Rules: reads only what ``podman push … dir:`` wrote. Source: the OCI distribution specification."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER, PASSWORD = "ada", "s3same-0pen"


class _Handler(BaseHTTPRequestHandler):
    directory: Path
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            self._answer(401, b"{}", "application/json", ("WWW-Authenticate", 'Basic realm="registry"'))
        elif self.path.endswith("/v2/"):
            self._answer(200, b"{}", "application/json")
        elif "/manifests/" in self.path:
            manifest = (self.directory / "manifest.json").read_bytes()
            digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
            kind = json.loads(manifest)["mediaType"]
            self._answer(200, manifest, kind, ("Docker-Content-Digest", digest))
        else:
            blob = self.directory / self.path.rpartition(":")[2]
            self._answer(200, blob.read_bytes(), "application/octet-stream")

    def _answer(self, code: int, content: bytes, kind: str, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def registry(directory: Path) -> Iterator[str]:
    """Yields ``HOST:PORT``."""
    handler = type("Handler", (_Handler,), {"directory": directory})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
