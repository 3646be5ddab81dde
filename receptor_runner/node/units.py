"""Work units on disk, in the daemon's layout: a directory each, with ``stdin``, ``stdout``, ``status``,
``status.lock``.

Rules: the disk is the only state, so a node that was killed finds everything again. A unit's ``stdin`` is locked
(flock) from its start until the last process that works on it has ended. If nobody holds the lock, nobody works on the
unit. Layout and texts are Receptor's (pkg/workceptor/workunitbase.go, command.go), and so are the modes: 0700 and
0600."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import string
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, OutputError, UsageError
from ..receptor.control_protocol import CommandError
from ..receptor.work_unit import CANCELED, FAILED, PENDING, RUNNER_GONE, RUNNING, UnitStatus, check_unit_id
from ..stream.endpoints import FdOutput
from ..stream.messages import JSONObject
from ..system.below import open_regular
from ..system.boot import python_argv
from ..system.descriptors import lower_descriptor_limit
from ..system.directories import locked
from ..system.forking import Standby, forked
from ..system.process_id import start_ticks
from ..system.removal import remove_tree
from .remote_unit import expired
from .runner import serve
from .status_file import read_status, write_status

if TYPE_CHECKING:
    import psutil

    from .config import WorkCommand

__all__ = ["Unit", "Units", "serve_unit"]

_UNWANTED = "unwanted"
_LAUNCHING = "Launching command runner"
_DAMAGED = "the status file of the unit is damaged"
_RUNNER = "receptor_runner.node.runner"
_ALPHABET = string.digits + string.ascii_letters
_ID_LENGTH = 8


class Unit:
    """One unit; its directory exists. Whoever starts one needs no list of processes, so psutil is loaded late."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.id = directory.name
        self.stdin = directory / "stdin"
        self.stdout = directory / "stdout"

    def status(self) -> UnitStatus:
        """As of now: the size is the file's, and a unit that nobody works on any more has failed. That is told also if
        it cannot be written down.

        :raises CommandError: the unit has gone, or cannot be looked at.
        """
        status = self._stored()
        reason = expired(status) or self._end_of(status)
        if reason is not None:
            status = self._stored()  # it may have ended just before
            if not status.ended:
                status = status._replace(state=FAILED, detail=reason)
                self._keep(status)
        with contextlib.suppress(OSError):
            status = status._replace(stdout_size=max(status.stdout_size, os.stat(self.stdout).st_size))
        return status

    def _end_of(self, status: UnitStatus) -> str | None:
        """Why a unit has failed that is said to be at work."""
        if status.state != RUNNING and status.detail not in (_LAUNCHING, _DAMAGED):
            return None
        if self.locked():
            return None
        return RUNNER_GONE if status.detail != _DAMAGED else _DAMAGED

    def _stored(self) -> UnitStatus:
        try:
            return read_status(self.directory)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise CommandError(f"unknown work unit {self.id}") from exc
        except OSError as exc:
            raise CommandError(f"cannot read the status of the work unit {self.id}: {exc.strerror}") from exc
        except ValueError:
            return UnitStatus(RUNNING, _DAMAGED, 0, "")

    def fail(self, detail: str) -> None:
        self._set(FAILED, detail)

    def keep_pending(self, detail: str) -> None:
        self._set(PENDING, detail)

    def cancel_before_start(self) -> None:
        """Cancels a unit that still takes its input, or waits for another node: it will not be started."""
        status = self._stored()
        if status.worktype == "remote":
            extra = {**(status.extra or {}), "LocalCancelled": True}
            self._keep(status._replace(state=FAILED, detail="Locally Cancelled", extra=extra))
        else:
            self._set(CANCELED, "Canceled")

    def _set(self, state: int, detail: str) -> None:
        with contextlib.suppress(CommandError):
            self._keep(self._stored()._replace(state=state, detail=detail))

    def _keep(self, status: UnitStatus) -> None:
        """A full disk gets a second chance without the unit's input, which a unit that has ended does not need."""
        status = status._replace(extra=status.extra if status.worktype == "remote" else None)
        try:
            write_status(self.directory, status)
        except OSError:
            if status.ended:
                with contextlib.suppress(OSError):
                    os.truncate(self.stdin, 0)
                    write_status(self.directory, status)

    def locked(self) -> bool:
        """Whether somebody works on it. If that cannot be told, somebody does: a shortage of ours is nobody's death."""
        try:
            fd = open_regular(self.stdin)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def take_input(self, write: Callable[[FdOutput], object]) -> None:
        """Has the whole input written at once.

        :raises OutputError: there is no room for it.
        """
        fd = os.open(self.stdin, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write(FdOutput(fd))
        finally:
            os.close(fd)

    def start(self, work: WorkCommand, params: str) -> None:
        """Starts the unit's runner, a child of this process; what goes wrong is in the unit's status."""
        joined = f"{work.params} {params}".strip() if params else work.params
        try:
            words = [work.command, *shlex.split(joined)]
        except ValueError:
            self.fail("EOF found when expecting closing quote")
            return
        path = shutil.which(work.command)
        if path is None:
            self.fail(_not_startable(work.command))
            return
        self.keep_pending(_LAUNCHING)
        fd = os.open(self.stdin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _launch(python_argv(_RUNNER, str(self.directory), str(fd), joined, path, *words), fd)
        finally:
            os.close(fd)

    def start_on(self, standby: Standby) -> None:
        """As :meth:`start`, on a runner that is loaded already and calls :func:`serve_unit`."""
        self.keep_pending(_LAUNCHING)
        try:
            standby.go(str(self.directory))
        except OSError as exc:
            raise OutputError(f"the runner of the job is gone: {exc.strerror}") from exc

    def interrupt(self) -> bool:
        """Asks the runner to cancel; False if there is none."""
        import psutil

        runner = self._runner()
        if runner is None or not self.locked():
            return False
        with contextlib.suppress(psutil.Error):
            runner.send_signal(signal.SIGINT)
            return True
        return False

    def kill(self) -> None:
        """Ends the runner, which did not end what it runs, and all that it runs."""
        from ..system.process_tree import kill_tree

        runner = self._runner()
        if runner is None:
            return
        kill_tree(runner)
        if not self.locked() and not self._stored().ended:
            self._set(CANCELED, "Canceled")

    def _runner(self) -> psutil.Process | None:
        """The process that runs the unit's command. Its number may be another one's by now, or be written nowhere."""
        import psutil

        words = {str(self.directory), _RUNNER}
        status = self._stored()
        pid, started = status.remote("Pid"), status.remote("Started")
        if type(pid) is int and type(started) is int:
            with contextlib.suppress(psutil.Error):
                return psutil.Process(pid) if start_ticks(pid) == started else None
        candidates = [pid] if type(pid) is int else psutil.pids() if status.detail == _DAMAGED else []
        for candidate in candidates:
            with contextlib.suppress(psutil.Error, ValueError):
                process = psutil.Process(candidate)
                if words <= set(process.cmdline()):
                    return process
        return None

    def mark_unwanted(self) -> None:
        """Whoever wanted it has all of it. The node removes it when it has ended.

        :raises OutputError: the mark cannot be made.
        """
        try:
            os.close(os.open(self.directory / _UNWANTED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise OutputError(f"cannot write to the work unit {self.directory}: {exc.strerror}") from exc

    @property
    def is_left(self) -> bool:
        """Whether it has ended and nobody wants it."""
        return os.path.exists(self.directory / _UNWANTED) and not self.locked()

    def remove(self) -> None:
        """Removes the unit. It is renamed first, so that a reader finds all of it or nothing."""
        aside = self.directory.with_name(f".{self.id}.{secrets.token_hex(4)}.gone")
        try:
            os.rename(self.directory, aside)
        except OSError:
            aside = self.directory
        remove_tree(str(aside))


def serve_unit(directory: str, work: Callable[[], int]) -> int:
    """Runs one unit in this process, as its runner does. ``work`` is its worker, in a process of its own."""
    fd = os.open(os.path.join(directory, "stdin"), os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return serve(directory, fd, "", "worker", lambda fd, stdout: forked("receptor-worker", work, (fd, stdout, stdout)))


def _launch(arguments: list[str], inherited: int) -> None:
    """Starts a process and does not wait until it is up. ``subprocess`` does wait: that takes long on a busy machine,
    and a node has other clients. If the process cannot start, it just ends, and its lock with it.
    """
    if os.fork():
        return
    try:
        lower_descriptor_limit()
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(nothing, fd)
        os.set_inheritable(inherited, True)
        os.execv(arguments[0], arguments)
    finally:
        os._exit(127)


def _not_startable(command: str) -> str:
    if "/" not in command:
        return f'exec: "{command}": executable file not found in $PATH'
    reason = "permission denied" if os.path.exists(command) else "no such file or directory"
    return f"fork/exec {command}: {reason}"


class Units:
    """All units of one node, in ``top`` (``datadir``/``node``).

    :param prefix: what ids of new units begin with: daemons from 1.4.11 on put the node's name there.
    :raises OSError: ``top`` cannot be made.
    :raises ConfigurationError: another node has these units.
    """

    def __init__(self, top: Path, prefix: str = "") -> None:
        self._top = top
        self._prefix = prefix
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(top)
        for unit in self.all():
            with contextlib.suppress(CommandError):
                status = unit.status()
                if status.state == PENDING and status.worktype != "remote" and not unit.locked():
                    unit.fail("Pending at restart")
        for name in os.listdir(top):
            if (name.startswith(".") and name.endswith(".gone")) or self._is_unfinished(name):
                remove_tree(str(top / name))

    def _is_unfinished(self, name: str) -> bool:
        """Whether it is what is left of a unit that could not be made."""
        with contextlib.suppress(OSError):
            return not set(os.listdir(self._top / name)) - {"status.lock", "stdin"}
        return False

    def close(self) -> None:
        """From here on another node may have them."""
        os.close(self._lock)

    def ids(self) -> list[str]:
        return sorted(name for name in os.listdir(self._top) if os.path.lexists(self._top / name / "status"))

    def all(self) -> list[Unit]:
        return [Unit(self._top / name) for name in self.ids()]

    def find(self, unit_id: str) -> Unit:
        """:raises CommandError: there is no such unit."""
        try:
            unit = Unit(self._top / check_unit_id(unit_id))
        except UsageError as exc:
            raise CommandError(f"unknown work unit {unit_id}") from exc
        if unit_id.startswith(".") or not os.path.lexists(unit.directory / "status"):
            raise CommandError(f"unknown work unit {unit_id}")
        return unit

    def create(self, worktype: str, wanted: str | None = None, extra: JSONObject | None = None) -> Unit:
        """A new unit, waiting for its input.

        :param wanted: its id, if a client chose one.
        :raises CommandError: the wanted id cannot be had, or there is no room for a unit.
        """
        unit_id = wanted or self._prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
        if wanted is not None:
            try:
                check_unit_id(wanted)
            except UsageError as exc:
                raise CommandError(str(exc)) from exc
        unit = Unit(self._top / unit_id)
        try:
            unit.directory.mkdir(mode=0o700)
            for name in ("status.lock", "stdin"):
                os.close(os.open(unit.directory / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            write_status(unit.directory, UnitStatus(PENDING, "Waiting for Input Data", 0, worktype, extra))
        except FileExistsError:
            raise CommandError(f"work unit {unit_id} already exists") from None
        except OSError as exc:
            _remove_unfinished(unit.directory)
            raise CommandError(f"cannot make the work unit in {self._top}: {exc.strerror}") from exc
        return unit


def _remove_unfinished(directory: Path) -> None:
    """Takes no descriptor: there may be none left."""
    for name in ("status.lock", "stdin"):
        with contextlib.suppress(OSError):
            os.unlink(directory / name)
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def _lock(top: Path) -> int:
    """One node at a time: another would take units for lost whose runners it does not know."""
    try:
        return locked(top, exclusive=True)
    except BlockingIOError as exc:
        raise ConfigurationError(f"another node has the data directory {top} already") from exc
