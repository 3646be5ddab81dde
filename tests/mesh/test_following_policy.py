"""When a follower does what: each row of the tables in docs/mesh.md with a clock that the test turns."""

from __future__ import annotations

from typing import Any

import pytest

from receptor_runner.errors import (
    ConfigurationError,
    DetachedError,
    Interrupted,
    LostError,
    ReceptorRunnerError,
    RefusedError,
    TruncatedStreamError,
    UnreachableError,
)
from receptor_runner.limits import (
    LIVENESS_PROBE_AFTER_SECONDS,
    PROBE_AGAIN_SECONDS,
    RESULTS_LAG_SECONDS,
    SETTLE_SECONDS,
    STREAM_STALL_SECONDS,
)
from receptor_runner.mesh.following.policy import Do, FollowedUnit, FollowPolicy
from receptor_runner.mesh.following.unit_end import unfinished
from receptor_runner.receptor.work_unit import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, UnitStatus


def status(state: int = RUNNING, size: int = 0, detail: str = "", **remote: Any) -> UnitStatus:
    return UnitStatus(state, detail, size, "remote" if remote else "receptor-runner", remote or None)


class Follower:
    """A driver without a mesh: says what the policy wants, and turns the clock."""

    def __init__(self, *, remote: bool = False, **unit: Any) -> None:
        self.now = 1000.0
        self.policy = FollowPolicy(FollowedUnit("near", remote=remote, direct=remote, **unit), self.now)

    def wants(self) -> Do:
        return self.policy.next(self.now).do

    def later(self, seconds: float) -> Do:
        self.now += seconds
        return self.wants()

    def wait(self) -> Do:
        """As long as the policy says; what it wants then."""
        action = self.policy.next(self.now)
        assert action.do is Do.WAIT
        self.now = action.until
        return self.wants()

    def open(self, found: UnitStatus | None = None) -> None:
        while self.wants() is Do.WAIT:
            self.wait()
        assert self.wants() is Do.OPEN
        found = found or status()
        assert self.policy.learned(found, self.now)
        self.policy.opened(found, self.now, direct=self.policy.direct)

    def look(self, found: UnitStatus) -> None:
        assert self.wants() is Do.LOOK
        self.policy.looked(found, self.now)

    def quiet_until(self, found: UnitStatus, do: Do) -> None:
        """Nothing comes, and each look finds the same, until the policy wants something else."""
        for _ in range(1000):
            wanted = self.wants()
            if wanted is do:
                return
            if wanted is Do.WAIT:
                self.wait()
            elif wanted is Do.LOOK_FAR:
                self.policy.looked_far(found, self.now)
            else:
                self.look(found)
        raise AssertionError(f"the policy never wants {do}")

    def error(self) -> ReceptorRunnerError:
        action = self.policy.next(self.now)
        assert action.do is Do.END
        assert action.error is not None
        return action.error


def test_results_are_opened_and_read_without_a_look_as_long_as_they_come() -> None:
    follower = Follower()
    follower.open()
    assert follower.policy.state == "running"
    for _ in range(100):
        assert follower.later(2.0) is Do.WAIT
        follower.policy.data(10, follower.now)
    assert follower.policy.offset == 1000


def test_a_follower_that_goes_on_begins_at_its_byte_at_once() -> None:
    follower = Follower(offset=500)
    assert follower.wants() is Do.OPEN
    assert follower.policy.offset == 500


def test_a_pending_unit_is_told_as_pending() -> None:
    follower = Follower()
    follower.open(status(PENDING))
    assert follower.policy.state == "pending"
    follower.policy.data(1, follower.now)
    assert follower.policy.state == "running"


def test_a_remote_unit_that_has_not_arrived_is_pending_and_asked_for_again() -> None:
    follower = Follower(remote=True)
    follower.wait()
    assert not follower.policy.learned(status(PENDING, RemoteUnitID=""), follower.now)
    assert follower.policy.state == "pending"
    assert follower.wait() is Do.OPEN
    assert follower.policy.learned(status(RUNNING, RemoteUnitID="far"), follower.now)
    assert (follower.policy.far_unit, follower.policy.direct) == ("far", True)


def test_results_are_read_here_when_the_node_refuses_them_three_times() -> None:
    follower = Follower(remote=True, far_unit="far")
    for _ in range(3):
        assert follower.policy.direct
        follower.policy.failed("no route", follower.now, refused=True)
    assert not follower.policy.direct
    follower.now += 10
    follower.open(status(RUNNING, RemoteUnitID="far"))
    assert follower.policy.state == "unreachable", "our own node says nothing about the other one"


def test_a_unit_that_ended_has_ended_when_every_byte_was_read_and_a_moment_passed() -> None:
    follower = Follower()
    follower.open()
    follower.policy.data(100, follower.now)
    follower.policy.closed(follower.now)
    follower.look(status(FAILED, 100, "exit status 1"))
    assert follower.wants() is not Do.END
    follower.now += SETTLE_SECONDS
    follower.open(status(FAILED, 100, "exit status 1"))
    follower.policy.closed(follower.now)
    follower.look(status(FAILED, 100, "exit status 1"))
    assert isinstance(follower.error(), TruncatedStreamError)
    assert "byte 100" in str(follower.error())


def test_bytes_that_a_restarted_daemon_still_owes_are_waited_for() -> None:
    follower = Follower()
    follower.open()
    follower.policy.data(60, follower.now)
    began = follower.now
    found = status(SUCCEEDED, 100, "exit status 0")
    follower.policy.closed(follower.now)
    follower.look(found)
    while follower.wants() is not Do.END:
        if follower.wants() is Do.WAIT:
            follower.wait()
        elif follower.wants() is Do.OPEN:
            follower.open(found)
            follower.policy.closed(follower.now)
        else:
            follower.look(found)
    assert follower.now - began >= RESULTS_LAG_SECONDS


def test_a_unit_that_ended_without_a_byte_is_not_waited_for() -> None:
    follower = Follower()
    found = status(FAILED, 0, "fork/exec /x: no such file or directory")
    follower.open(found)
    follower.policy.closed(follower.now)
    follower.look(found)
    follower.now += SETTLE_SECONDS
    follower.policy.learned(found, follower.now)
    assert isinstance(follower.error(), ConfigurationError)


def test_a_stream_that_went_deaf_is_asked_for_anew_at_the_same_byte() -> None:
    follower = Follower()
    follower.open()
    follower.policy.data(100, follower.now)
    follower.quiet_until(status(RUNNING, 100), Do.LOOK)
    while follower.policy.connected:
        if follower.wants() is Do.WAIT:
            follower.wait()
        follower.look(status(RUNNING, 250))
    assert follower.now - 1000.0 >= STREAM_STALL_SECONDS
    assert follower.wants() is Do.OPEN
    assert follower.policy.offset == 100


def test_silence_alone_is_no_loss() -> None:
    """A probe that cannot tell is not repeated soon, and ends nothing."""
    follower = Follower()
    follower.open()
    follower.quiet_until(status(), Do.PROBE)
    assert follower.now - 1000.0 >= LIVENESS_PROBE_AFTER_SECONDS
    follower.policy.probed(None, follower.now)
    probed = follower.now
    follower.quiet_until(status(), Do.PROBE)
    assert follower.now - probed >= PROBE_AGAIN_SECONDS


def test_two_looks_that_find_no_process_are_a_loss() -> None:
    follower = Follower()
    follower.open()
    follower.quiet_until(status(), Do.PROBE)
    follower.policy.probed(False, follower.now)
    assert follower.wants() is Do.WAIT, "one look is not enough"
    follower.quiet_until(status(), Do.PROBE)
    follower.policy.probed(False, follower.now)
    assert isinstance(follower.error(), LostError)


def test_a_process_that_is_found_again_is_no_loss() -> None:
    follower = Follower()
    follower.open()
    for alive in (False, True, False):
        follower.quiet_until(status(), Do.PROBE)
        follower.policy.probed(alive, follower.now)
    assert follower.wants() is Do.WAIT


def test_a_byte_between_two_looks_is_no_loss() -> None:
    follower = Follower()
    follower.open()
    follower.quiet_until(status(), Do.PROBE)
    follower.policy.probed(False, follower.now)
    follower.policy.data(1, follower.now)
    follower.quiet_until(status(RUNNING, 1), Do.PROBE)
    follower.policy.probed(False, follower.now)
    assert follower.wants() is Do.WAIT


def test_a_remote_node_is_asked_itself_before_it_is_probed() -> None:
    follower = Follower(remote=True, far_unit="far")
    found = status(RUNNING, RemoteUnitID="far")
    follower.open(found)
    follower.quiet_until(found, Do.LOOK_FAR)
    follower.policy.looked_far(status(RUNNING), follower.now)
    assert follower.policy.state == "running"
    follower.quiet_until(found, Do.PROBE)


def test_a_mesh_that_does_not_answer_is_unreachable_and_left_after_a_while() -> None:
    follower = Follower(lost_after=60.0)
    follower.open()
    follower.policy.failed("mute", follower.now)
    assert follower.policy.state == "unreachable"
    pauses = []
    while follower.wants() is not Do.END:
        before = follower.now
        assert follower.wait() is Do.OPEN
        pauses.append(follower.now - before)
        follower.policy.failed("mute", follower.now)
    assert isinstance(follower.error(), DetachedError)
    assert 60 < follower.now - 1000.0 < 70
    assert pauses == sorted(pauses), "each pause is as long as the one before, or longer"


def test_a_mesh_that_answers_again_has_its_whole_time_again() -> None:
    follower = Follower(lost_after=60.0)
    follower.policy.failed("mute", follower.now)
    follower.now += 59
    follower.open()
    follower.policy.data(1, follower.now)
    follower.policy.failed("mute", follower.now)
    follower.now += 59
    follower.policy.failed("mute", follower.now)
    assert follower.wants() is not Do.END


def test_a_cancel_leaves_before_anything_else_and_is_tried_again() -> None:
    follower = Follower()
    follower.open()
    follower.policy.cancel()
    assert follower.wants() is Do.CANCEL
    follower.policy.failed("mute", follower.now)
    assert follower.wants() is Do.WAIT
    follower.now += 5
    assert follower.wants() is Do.CANCEL
    follower.policy.cancel_sent()
    assert not follower.policy.cancel_wanted
    assert follower.wants() is Do.OPEN


@pytest.mark.parametrize(
    ("found", "error", "code"),
    [
        (status(FAILED, 0, "the process that ran the command is gone"), LostError, 74),
        (status(FAILED, 0, "Pending at restart"), LostError, 74),
        (status(FAILED, 0, "Failed to restart: x"), LostError, 74),
        (status(FAILED, 0, "Remote work unit is gone"), LostError, 74),
        (status(CANCELED, 5, "Canceled"), Interrupted, 130),
        (status(FAILED, 0, "Locally Cancelled"), Interrupted, 130),
        (status(FAILED, 0, "Work unit expired on Mon"), UnreachableError, 69),
        (status(FAILED, 0, "Error starting worker: unknown work type x"), UnreachableError, 69),
        (status(FAILED, 0, "could not verify signature: token expired"), RefusedError, 77),
        (status(FAILED, 0, "CRYPTO_ERROR 0x178"), RefusedError, 77),
        (status(FAILED, 0, "fork/exec /x: permission denied"), ConfigurationError, 78),
        (status(FAILED, 0, 'exec: "x": executable file not found in $PATH'), ConfigurationError, 78),
        (status(FAILED, 0, "EOF found when expecting closing quote"), ConfigurationError, 78),
        (status(SUCCEEDED, 9, "exit status 0"), TruncatedStreamError, 76),
        (status(FAILED, 9, "exit status 1"), TruncatedStreamError, 76),
        (status(FAILED, 9, ""), TruncatedStreamError, 76),
    ],
)
def test_an_ended_unit_without_the_end_of_its_stream(
    found: UnitStatus, error: type[ReceptorRunnerError], code: int
) -> None:
    assert type(unfinished(found, 9)) is error
    assert unfinished(found, 9).exit_code == code
