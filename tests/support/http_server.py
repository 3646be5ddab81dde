"""An HTTP server of the test's own, that answers as it is told: in time, late, never, with a fault, or half."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Server", "http_server"]


class Server:
    """``answers`` are used up one by one, the last one for all that follow: a status, ``hang`` or ``close``."""

    def __init__(self, answers: tuple[int | str, ...]) -> None:
        self.answers = [*answers]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""
        self.over = threading.Event()

    def bodies(self) -> list[bytes]:
        return [body for _, _, body in self.requests]


@contextlib.contextmanager
def http_server(*answers: int | str) -> Iterator[Server]:
    told = Server(answers or (200,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.requests.append((self.path, dict(self.headers), body))
            answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            if answer == "hang":
                told.over.wait(60)
            elif answer == "close":
                self.wfile.write(b"HTTP/1.1 2")
            else:
                self.send_response(int(answer))
                self.send_header("Content-Length", "0")
                if answer == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client may go

    with Quiet(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.over.set()
            server.shutdown()
            thread.join(10)
