"""Servers of the test's own, in a thread: each client is served in its turn."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["accepting", "daemon_that_answers"]


@contextlib.contextmanager
def accepting(listener: socket.socket, serve: Callable[[socket.socket], object]) -> Iterator[None]:
    """``serve`` is called with each client of ``listener``, which listens already. A client may go when it likes."""

    def work() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                serve(client)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextlib.contextmanager
def daemon_that_answers(line: bytes, path: Path) -> Iterator[None]:
    """A control service that answers everything with ``line``."""

    def serve(client: socket.socket) -> None:
        client.sendall(b"Receptor Control, node x\n")
        if client.recv(4096):
            client.sendall(line)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with accepting(listener, serve):
            yield
