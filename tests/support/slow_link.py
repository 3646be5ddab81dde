"""A link between two nodes that takes its time: a relay that holds back what it passes on."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

__all__ = ["SlowLink"]


class SlowLink:
    """Connections to ``port`` are passed on to the port ``to``, which may be set later. What comes is handed on
    ``seconds`` after it came.
    """

    def __init__(self, seconds: float) -> None:
        self.port = 0
        self.to = 0
        self._seconds = seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SlowLink:
        self._thread.start()
        serving = asyncio.start_server(self._relay, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        async def end() -> None:
            self._server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer), return_exceptions=True)
        finally:
            for end in (writer, back):
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def hand_out() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                writer.write(data)
                await writer.drain()
                if not data:
                    writer.close()
                    return

        async def take_in() -> None:
            while data := await reader.read(65536):
                held.put_nowait((self._loop.time() + self._seconds, data))
            held.put_nowait((self._loop.time(), b""))

        await asyncio.gather(hand_out(), take_in())
