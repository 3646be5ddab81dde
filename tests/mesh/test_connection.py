"""A control service may answer in pieces, without end, or not at all: every answer has its time and its size."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receptor_runner.errors import OutputError, UnreachableError
from receptor_runner.limits import MAX_REPLY
from receptor_runner.mesh.connection import Connection
from receptor_runner.mesh.endpoint import connect
from receptor_runner.mesh.waiting import run
from receptor_runner.receptor.address import Address
from tests.support.processes import Stopwatch

GREETING = b"Receptor Control, node x\n"


@contextlib.contextmanager
def served(say: Callable[[socket.socket], None], tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                say(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join()


async def asked(path: str, seconds: float = 10) -> bytes:
    connection: Connection
    with await connect(Address(path), seconds) as connection:
        return await connection.readline(seconds)


@pytest.mark.parametrize("length", [10, 200_000, 3_000_000])
def test_an_answer_in_pieces_is_put_together(length: int, tmp_path: Path) -> None:
    line = b"x" * length

    def say(client: socket.socket) -> None:
        for piece in (GREETING[:12], GREETING[12:] + line[: length // 2]):
            client.sendall(piece)
            time.sleep(0.1)  # it must be read in pieces
        client.sendall(line[length // 2 :] + b"\n")

    with served(say, tmp_path) as path:
        assert run(asked(path)) == line


def test_an_answer_that_trickles_has_a_deadline(tmp_path: Path) -> None:
    def say(client: socket.socket) -> None:
        client.sendall(GREETING)
        while True:
            client.sendall(b"x")

    with served(say, tmp_path) as path:
        began = Stopwatch()
        with pytest.raises((UnreachableError, OutputError)):
            run(asked(path, 1))
        assert began.seconds() < 5


def test_an_answer_without_end_is_refused(tmp_path: Path) -> None:
    def say(client: socket.socket) -> None:
        client.sendall(GREETING)
        block = bytes(1024 * 1024).replace(b"\0", b"x")
        for _ in range(MAX_REPLY // len(block) + 2):
            client.sendall(block)

    with served(say, tmp_path) as path, pytest.raises(OutputError, match="without end"):
        run(asked(path, 60))
