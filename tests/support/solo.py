"""One embedded node by itself, and a bare client of its control socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

from receptor_runner.receptor.control_protocol import command_line, created_unit, parse_reply
from tests.support.commands import OURS
from tests.support.nodes import CAT, SHELL, Node, node_directory

RUNNING, SUCCEEDED, FAILED, CANCELED = 1, 2, 3, 4


@contextlib.contextmanager
def solo(*options: str, before: Sequence[str] = ()) -> Iterator[Node]:
    """A node named ``solo``. ``before``: what stands before its command."""
    with node_directory() as directory:
        node = Node(directory, "solo", [{"local-only": None}, CAT, SHELL], [*before, *OURS, "serve", *options])
        node.start()
        try:
            yield node
        finally:
            node.stop()


class Client:
    """A bare client of the control socket.

    :param greeted_within: by when the node must have greeted it, in seconds. For an answer it has a minute.
    """

    def __init__(self, node: Node, greeted_within: float = 60) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(greeted_within)
        self._file = self._socket.makefile("rb")
        try:
            self._socket.connect(str(node.socket))
            assert self._file.readline() == b"Receptor Control, node solo\n"
            self._socket.settimeout(60)
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say(self, line: bytes) -> bytes:
        self._socket.sendall(line)
        return self._file.readline()

    def rest(self) -> bytes:
        return self._file.read()

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def submit(node: Node, script: str) -> str:
    """The id of a unit that runs ``script`` in a shell."""
    with Client(node) as client:
        line = command_line(command="work", subcommand="submit", node="localhost", worktype="sh", params=f"'{script}'")
        unit = created_unit(client.say(line))
        client.half_close()
        assert parse_reply(client.rest())["unitid"] == unit
    return unit


def state(node: Node, unit: str) -> int:
    with Client(node) as client:
        return int(parse_reply(client.say(f"work status {unit}\n".encode()))["State"])
