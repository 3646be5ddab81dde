"""Ends what one host does, so that Ansible reports it as failed and goes on: the answer to ``worker kill``.

Rules: Ansible's own processes are never killed, because it would give up the whole job; the callback plugin makes an
error of a signal. What they started is interrupted, terminated and killed. Nothing is done where another host could
feel it, or where it is not known for whom a process works; one wish is done before the next is looked at. What other
hosts may share is spared: masters of ssh's connections, and agents."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil

from ..limits import KILL_SECONDS, TERM_SECONDS
from ..system.process_tree import is_helper, words_of
from .ansible_work import ask_ansible, one_at_a_time
from .answers import Ending, HostWork
from .look import processes_for
from .unit_processes import ASK_SIGNAL, UnitProcesses, answers_signal, unit_processes

__all__ = ["end_host"]

#: The signal may come while Ansible's process talks to the main one: it is sent again.
_AGAIN_SECONDS = 0.5
#: What it started is left alone for so long: Ansible is to report why the task ended, and not that ssh did.
_HEAD_START_SECONDS = 0.5
_GIVE_UP_SECONDS = KILL_SECONDS + 3.0
#: How long another wish may take, and how long Ansible may take to report a host whose process is gone.
_OTHERS_SECONDS = 15.0
_REPORT_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_LONGEST_NAME = 200
_SHARED = {
    "run_once": "the task runs once for all hosts (run_once, pause)",
    "any_errors_fatal": "a failed host ends the play for all (any_errors_fatal)",
    "max_fail_percentage": "one more failed host ends the play for all (max_fail_percentage)",
    "unknown": "it is not known whether others would feel it",
    "last_host": "it is the last host of its play or batch, and without one Ansible begins nothing more for others",
}


def end_host(unit: str, host: str) -> Ending:
    """:param unit: the id of the job's work unit.
    :param host: its name in the inventory.
    """
    found = unit_processes(unit)
    if found is None:
        return Ending("the processes of the work unit cannot be seen by this user")
    try:
        with one_at_a_time(found, _OTHERS_SECONDS) as mine:
            return _end_host(unit, host) if mine else Ending("another wish for this job is still being done")
    except OSError as exc:
        return Ending(f"the job cannot be asked: {exc}")


def _end_host(unit: str, host: str) -> Ending:
    found = unit_processes(unit)
    if found is None:
        return Ending("the processes of the work unit cannot be seen by this user")
    answer = ask_ansible(found)
    if answer.silent:
        return Ending(f"it is not known which process works for which host: {answer.silent}")
    living = {one.pid: one for one in found.processes if _lives(one)}
    mine = [one for one in answer.work if one.host == host and one.pid in living]
    if not mine:
        others = ", ".join(sorted({one.host for one in answer.work if one.pid in living})) or "none"
        return Ending(f"nothing runs for {host} now; hosts that something runs for: {others}")
    shared = next((one.shared for one in mine if one.shared), "")
    if shared:
        return Ending(f"{_SHARED.get(shared, shared)}; receptor-runner cancel ends the job")
    forks = [living[one.pid] for one in mine]
    if not all(answers_signal(fork.pid) for fork in forks):
        return Ending("Ansible's process for the host does not take the wish")
    began = time.time()
    victims = _ended(found, mine, forks)
    left = [_named(one, found, hidden=any(work.no_log for work in mine)) for one in victims.living()]
    before = answer.reported.get(host, 0)
    gone = not any(map(_lives, forks))
    reported = gone and _is_reported(found, host, before)
    over = found.ansible is None or not _lives(found.ansible)
    return Ending("", mine[0].task, began, gone, reported, over, len(victims.known) - len(left), left)


def _ended(found: UnitProcesses, mine: list[HostWork], forks: list[psutil.Process]) -> _Victims:
    """Ends them, or tries as long as there is patience."""
    victims = _Victims(found, mine, forks)
    start = time.monotonic()
    asked_at = 0.0
    while (now := time.monotonic()) < start + _GIVE_UP_SECONDS:
        living = [fork for fork in forks if _lives(fork)]
        if not living and not victims.living():
            break
        if now >= asked_at + _AGAIN_SECONDS:
            asked_at = now
            for fork in living:
                _signal(fork, ASK_SIGNAL)
        if not living or now >= start + _HEAD_START_SECONDS:
            victims.stop(now - start)
        time.sleep(_LOOK_SECONDS)
    return victims


def _is_reported(found: UnitProcesses, host: str, before: int) -> bool:
    """Whether Ansible counts the host as failed or unreachable once more."""
    until = time.monotonic() + _REPORT_SECONDS
    while time.monotonic() < until and found.ansible is not None and _lives(found.ansible):
        if ask_ansible(found).reported.get(host, 0) > before:
            return True
        time.sleep(_LOOK_SECONDS)
    return False


class _Victims:
    """What the processes of one host have started, also meanwhile."""

    def __init__(self, found: UnitProcesses, mine: list[HostWork], forks: list[psutil.Process]) -> None:
        self._forks = forks
        pids = {pid for work in mine for pid in processes_for(found, work)} - {fork.pid for fork in forks}
        self.known = {one.pid: one for one in found.processes if one.pid in pids and not is_helper(one)}
        self._sent: dict[int, int] = {}

    def living(self) -> list[psutil.Process]:
        return [one for one in self.known.values() if _lives(one)]

    def stop(self, elapsed: float) -> None:
        """Sends to each what is due."""
        for fork in self._forks if elapsed > TERM_SECONDS else ():
            with contextlib.suppress(psutil.Error):
                for one in fork.children(recursive=True):
                    if one.pid not in self.known and not is_helper(one):
                        self.known[one.pid] = one
        due = signal.SIGINT if elapsed < TERM_SECONDS else signal.SIGTERM if elapsed < KILL_SECONDS else signal.SIGKILL
        for one in self.living():
            if self._sent.get(one.pid) != due or due == signal.SIGKILL:
                self._sent[one.pid] = due
                _signal(one, due)


def _named(process: psutil.Process, found: UnitProcesses, *, hidden: bool) -> str:
    words = [] if hidden else found.masker.argv(words_of(process))
    return " ".join([str(process.pid), *words])[:_LONGEST_NAME]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    """The process is the same that was seen, or nothing happens."""
    with contextlib.suppress(psutil.Error, OSError):
        if number != ASK_SIGNAL or answers_signal(process.pid):
            process.send_signal(number)
