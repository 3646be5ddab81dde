"""Runs one command from its start to the moment when nothing of it is left.

Rules: there is one loop with one poll, and every wait ends at the earliest deadline. The terminal is not read while
the stage takes no output. A command that ended by itself has ended well, even if a stop comes too late. What it left
running is stopped in any case."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import IO

from ..isolation.engine_errors import ENGINE_CODES, did_not_run
from ..limits import (
    BLOCK,
    CONTAINER_REMOVAL_DEADLINE_SECONDS,
    ENGINE_SECONDS,
    FLUSH_SECONDS,
    KILL_SECONDS,
    LEFTOVER_GRACE_SECONDS,
    LEFTOVER_KILL_SECONDS,
    LEFTOVER_TERM_SECONDS,
    PARTIAL_LINE_SECONDS,
    PAUSE_SECONDS,
    PLAIN_EVENTS_A_SECOND,
    PROMPT_SECONDS,
    PTY_HALF_FULL_BYTES,
    TERM_SECONDS,
)
from ..preparation.run_spec import RunSpec
from ..stream.status import CANCELED, ERROR, RC_STOPPED, TIMEOUT, status_from_rc
from ..system.process_tree import Stopper, descendants
from ..system.subreaper import reap
from ..system.timeouts import milliseconds
from .channel import Channel
from .event_carver import Carver
from .prompts import Prompts
from .protocol import Cancel, CommandEnd, Ping, Pong
from .pty_child import Child, new_private_file
from .running_job import running_job

__all__ = ["CommandRun", "PromptTimeout"]

#: After the last process is gone, output still in the terminal arrives at once or never.
_LAST_OUTPUT_SECONDS = 0.2
#: A pause grows by this factor from read to read, and begins anew when a read finds a lot. So a steady flow is read
#: often enough that the command never waits for its terminal.
_PAUSE_STEP = PAUSE_SECONDS / 16
#: How much of the output is kept to tell why an engine failed.
_TAIL = 4096


class PromptTimeout(Exception):
    """Raised by the handler of SIGALRM."""


class CommandRun:
    """One run. ``wakeup`` becomes readable when a signal arrives; ``stop_requested`` is asked then."""

    def __init__(self, spec: RunSpec, channel: Channel, wakeup: int) -> None:
        self._spec = spec
        self._channel = channel
        self._wakeup = wakeup
        self._carver = Carver(bytes.fromhex(spec.event_key), spec.ident)
        self._prompts = Prompts(spec.prompts)
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        self._stopped_as: str | None = None
        self._stopped_because: str | None = None
        #: When its line without an end is shown, and since when it is only what it left that runs.
        self._partial_at: float | None = None
        self._left_since: float | None = None
        self._left = 0
        self._output = _OutputFiles(spec)
        self._lines: list[bytes] = []
        self._lines_size = 0
        self._tail = b""
        self._flush_at: float | None = None
        self._pause = 0.0
        self._read_at = 0.0
        self._refill_at = 0.0
        self._started = self._last_output = time.monotonic()
        self.stop_requested = False
        #: Whether nothing of the job runs any more, as far as can be shown.
        self._gone = True
        #: Whether nothing is left to remove.
        self._removed = True

    def run(self) -> CommandEnd:
        """Runs the command to its end.

        :raises CommandNotFound: there is nothing to run.
        """
        child = Child(self._spec)
        self._job = running_job(child, self._spec.isolated)
        self._stopper = Stopper(self._job.send)
        try:
            self._follow(child)
        finally:
            child.close()
            self._settle(child)
        self._take(self._carver.finish())
        self._flush()
        self._output.close()
        return self._end(child)

    def _settle(self, child: Child) -> None:
        """Notes whether all of it is gone. Engines and sandboxes leave nothing of a command that ended by itself."""
        began = self._stopper.began
        if began is None and child.rc is not None and child.rc < min(ENGINE_CODES):
            return
        now = time.monotonic()
        until = now + ENGINE_SECONDS if began is None else max(began + CONTAINER_REMOVAL_DEADLINE_SECONDS, now)
        ended = self._job.ended()
        self._removed = self._job.remove(until)
        self._gone = self._removed or ended

    def settle(self) -> None:
        """Tries once more to remove what is left."""
        if not self._removed:
            self._removed = self._job.remove(time.monotonic() + ENGINE_SECONDS)

    def _end(self, child: Child) -> CommandEnd:
        by_itself = self._stopped_as is None
        isolation_error = self._isolation_error(child) if by_itself else None
        killed_by = child.killed_by if by_itself and isolation_error is None else None
        rc = child.rc if child.rc is not None and by_itself else RC_STOPPED
        fault = killed_by or isolation_error is not None or not self._gone
        return CommandEnd(
            rc,
            ERROR if fault else self._stopped_as or status_from_rc(rc),
            self._carver.counter,
            output_error=self._output.error,
            killed_by=killed_by,
            isolation_error=isolation_error,
            gone=self._gone,
            stopped_because=self._stopped_because,
            framed=self._carver.framed,
            left=self._left,
        )

    def _isolation_error(self, child: Child) -> str | None:
        isolated = self._spec.isolated
        if isolated is None or self._carver.framed:
            return None
        said = self._tail.decode("utf-8", "replace")
        return said if did_not_run(child.rc, said, sandbox=not isolated.container) else None

    def _follow(self, child: Child) -> None:
        alive = True
        self._poll.register(self._wakeup, select.POLLIN)
        while alive or not child.eof:
            ready = self._wait(child, alive)
            if self._wakeup in ready:
                self._drain_wakeup()
                self._reap(child)
            if self._channel.orders in ready:
                self._take_orders()
            if self._channel.output in ready:
                self._channel.flush()
            if child.fd in ready:
                self._read(child)
            elif self._prompts.waiting and (answer := self._prompt_answer()) is not None:
                child.answer(answer)
                self._last_output = time.monotonic()
            elif not alive and not self._channel.congested:
                return
            if alive:
                alive = self._advance(child)

    def _prompt_answer(self) -> str | None:
        """:raises PromptTimeout: an expression of the job takes for ever on its output: ``re`` heeds signals."""
        signal.setitimer(signal.ITIMER_REAL, PROMPT_SECONDS)
        try:
            return self._prompts.answer()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _wait(self, child: Child, alive: bool) -> set[int]:
        self._watch(self._channel.orders, select.POLLIN if not self._channel.closed else 0)
        self._watch(self._channel.output, select.POLLOUT if self._channel.pending else 0)
        pause = self._read_at - time.monotonic() if alive and not self._prompts.waiting else 0.0
        reads = pause <= 0 and not child.eof and not self._channel.congested
        self._watch(child.fd, select.POLLIN if reads else 0)
        waits = self._waits() if alive else [_LAST_OUTPUT_SECONDS]
        if pause > 0:
            waits.append(pause)
        return {fd for fd, _ in self._poll.poll(milliseconds(*waits))}

    def _watch(self, fd: int, events: int) -> None:
        """From here on ``fd`` is polled for ``events``, or not at all."""
        if self._watched.get(fd, 0) == events:
            return
        self._watched[fd] = events
        if events:
            self._poll.register(fd, events)
        else:
            self._poll.unregister(fd)

    def _waits(self) -> list[float | None]:
        now = time.monotonic()
        waits = [self._stopper.wait_seconds()]
        if self._prompts.waiting:
            waits.append(0.0)
        for moment in (self._flush_at, self._partial_at):
            if moment is not None:
                waits.append(moment - now)
        if self._left_since is not None:
            waits.append(self._left_since + LEFTOVER_GRACE_SECONDS - now)
        if not self._stopper.started:
            waits += [moment - now for moment, _ in self._limits()]
        return waits

    def _limits(self) -> list[tuple[float, str]]:
        """When the time of the command is over, and why."""
        spec, limits = self._spec, []
        if spec.job_timeout:
            text = f"the job was stopped after its time limit of {spec.job_timeout:g} s (timeout, job_timeout)"
            limits.append((self._started + spec.job_timeout, text))
        if spec.idle_timeout:
            text = f"the job was stopped after {spec.idle_timeout:g} s without output (idle_timeout)"
            limits.append((self._last_output + spec.idle_timeout, text))
        return limits

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup, 512):
                pass

    def _take_orders(self) -> None:
        for order in self._channel.receive():
            if isinstance(order, Cancel):
                self.stop_requested = True
            elif isinstance(order, Ping):
                self._channel.report(Pong())

    def _read(self, child: Child) -> None:
        data = child.read()
        now = time.monotonic()
        if now >= self._refill_at:
            self._refill_at = now + 1.0
            self._carver.plain_room = PLAIN_EVENTS_A_SECOND
        text = self._carver.receive(data)
        if text and self._prompts:
            self._prompts.receive(text)
        self._take(text)
        self._last_output = time.monotonic()
        self._pause = 0.0 if len(data) > PTY_HALF_FULL_BYTES else min(PAUSE_SECONDS, self._pause + _PAUSE_STEP)
        self._read_at = self._last_output + self._pause
        self._partial_at = self._last_output + PARTIAL_LINE_SECONDS

    def _take(self, text: bytes) -> None:
        self._output.write(text)
        if self._spec.isolated is not None:
            self._tail = (self._tail + text)[-_TAIL:]
        self._collect()
        if self._flush_at is None and (self._lines or text):
            self._flush_at = time.monotonic() + FLUSH_SECONDS
        if self._lines_size >= BLOCK:
            self._flush()

    def _collect(self) -> None:
        """Takes what was carved."""
        if self._carver.lines:
            self._lines += self._carver.lines
            self._lines_size += sum(map(len, self._carver.lines))
            self._carver.lines.clear()

    def _flush(self) -> None:
        self._flush_at = None
        self._output.flush()
        self._carver.end_lines()
        self._collect()
        if self._lines:
            self._channel.send_lines(b"".join(self._lines))
            self._lines.clear()
            self._lines_size = 0

    def _reap(self, child: Child) -> None:
        for pid, status in reap():
            if pid == child.pid:
                child.ended(status)

    def _advance(self, child: Child) -> bool:
        """Does what is due by now. False once nothing of the job is left."""
        now = time.monotonic()
        if self._flush_at is not None and self._flush_at <= now:
            self._flush()
        if self._partial_at is not None and self._partial_at <= now:
            self._partial_at = None
            self._carver.show_partial()
            self._flush()
        if child.rc is None:
            self._check_stop(now)
        elif not self._stopper.started:
            # whoever changes its parent while the first list is made may be missing in it
            left = descendants() or descendants()
            if not left:
                return False
            if self._is_short_while(now):
                return True
            self._left = self._job.counted(left)
            self._stopper.start(LEFTOVER_TERM_SECONDS, LEFTOVER_KILL_SECONDS)
        if not self._stopper.started:
            return True
        return self._stopper.step() and not (child.rc is not None and not descendants())

    def _is_short_while(self, now: float) -> bool:
        """What the command left has a moment to end by itself."""
        self._left_since = self._left_since or now
        if now < self._left_since + LEFTOVER_GRACE_SECONDS:
            return True
        self._left_since = None
        return False

    def _check_stop(self, now: float) -> None:
        if self._channel.congested:
            self._last_output = now  # it may say a lot, and nobody listens
        if self._stopped_as is not None:
            return
        if self.stop_requested or self._channel.closed:
            self._stopped_as = CANCELED
        else:
            self._stopped_because = next((text for moment, text in self._limits() if moment <= now), None)
            self._stopped_as = TIMEOUT if self._stopped_because else None
        if self._stopped_as is not None:
            self._stopper.start(TERM_SECONDS, KILL_SECONDS)


class _OutputFiles:
    """The ``stdout`` and ``stderr`` artifacts. A terminal has one output: ``stderr`` stays empty, as for
    ansible-runner."""

    def __init__(self, spec: RunSpec) -> None:
        self.error: str | None = None
        self._file: IO[bytes] | None = None
        if spec.output_files:
            try:
                fd = new_private_file(os.path.join(spec.artifact_dir, "stdout"))
                self._file = os.fdopen(fd, "wb", buffering=BLOCK)
                os.close(new_private_file(os.path.join(spec.artifact_dir, "stderr")))
            except OSError as exc:
                self._fail(exc)

    def write(self, data: bytes) -> None:
        self._guarded(lambda file: file.write(data))

    def flush(self) -> None:
        self._guarded(lambda file: file.flush())

    def close(self) -> None:
        self._guarded(lambda file: file.close())

    def _guarded(self, action: Callable[[IO[bytes]], object]) -> None:
        if self._file is None or self.error is not None:
            return
        try:
            action(self._file)
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        self.error = f"cannot write the artifact stdout: {exc.strerror}"
