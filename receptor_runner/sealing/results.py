"""Results that only who has the job's key can read: a worker's output encrypted, and read again.

Rules: each block that a worker writes becomes a line of its own, with its number. A reader takes them in their order,
from the one that it was told. What stands between them in clear is not believed, but for the keep-alives. The end mark
is written in clear, too, behind the one that counts: scripts look for it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import IO

from ..errors import RefusedError
from ..stream.codec import END_OF_STREAM, encode
from ..stream.endpoints import Output
from ..stream.messages import EXTENSION, JSONObject
from .envelope import BLOCK, BlockCipher
from .spool import sealed_spool

__all__ = ["SealingOutput", "Unsealer"]

_PURPOSE = "results"


class SealingOutput:
    """Wraps ``output``; an :class:`~receptor_runner.stream.endpoints.Output`.

    :param key: 32 bytes, the job's.
    """

    def __init__(self, output: Output, key: bytes) -> None:
        self._output = output
        self._cipher = BlockCipher(key, _PURPOSE)
        self._number = 0

    @property
    def deadline(self) -> float | None:
        return self._output.deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._output.deadline = deadline

    @property
    def while_waiting(self) -> Callable[[], None] | None:
        return self._output.while_waiting

    @while_waiting.setter
    def while_waiting(self, call: Callable[[], None] | None) -> None:
        self._output.while_waiting = call

    def write(self, data: bytes) -> None:
        lines = []
        for place in range(0, len(data), BLOCK):
            sealed = self._cipher.seal(self._number, data[place : place + BLOCK])
            part = {"n": self._number, "data": base64.b64encode(sealed).decode()}
            lines.append(encode({EXTENSION: {"sealed": part}}))
            self._number += 1
        if data.endswith(END_OF_STREAM):
            lines.append(END_OF_STREAM)
        self._output.write(b"".join(lines))

    def closed_by_reader(self) -> bool:
        return self._output.closed_by_reader()

    def fileno(self) -> int | None:
        return self._output.fileno()


class Unsealer:
    """Reads what :class:`SealingOutput` wrote with the same ``key``; an
    :class:`~receptor_runner.stream.reader.Opener`.

    :param block: the number of the first block that will come.
    """

    def __init__(self, key: bytes, block: int = 0) -> None:
        self._cipher = BlockCipher(key, _PURPOSE)
        self.block = block

    def __call__(self, sealed: JSONObject) -> bytes:
        """The bytes of one line.

        :raises RefusedError: it is not the next one, or was changed.
        """
        number = sealed.get("n")
        if number != self.block or type(number) is not int:
            raise RefusedError(f"the sealed results are not whole: a block {number!r} where {self.block} should be")
        try:
            data = base64.b64decode(str(sealed.get("data")), validate=True)
        except ValueError as exc:
            raise RefusedError(f"the block {number} of the sealed results is damaged") from exc
        opened = self._cipher.open(number, data)
        self.block += 1
        return opened

    @staticmethod
    def spool() -> IO[bytes]:
        """Where an archive is kept on its way in."""
        return sealed_spool()
