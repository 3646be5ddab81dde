"""What signals do to a job that is being followed: the pipe's policy and the mesh's, without a signal being sent."""

from __future__ import annotations

from signal import SIGHUP, SIGINT, SIGTERM

import pytest

from receptor_runner.errors import DetachedError, Interrupted
from receptor_runner.stages.interrupts import Interrupts, MeshInterrupts, PipeInterrupts, Reaction

GO_ON = Reaction()


def test_the_first_ctrl_c_in_a_pipe_lets_a_stream_that_has_begun_end() -> None:
    policy = PipeInterrupts(10)
    assert policy.signalled([SIGINT], 100.0, begun=True) == GO_ON
    assert policy.give_up_at == 110.0
    assert policy.expired(109.9) == GO_ON
    error = policy.expired(110.0).error
    assert isinstance(error, Interrupted)
    assert "did not end within 10 s" in str(error)


@pytest.mark.parametrize(
    ("signals", "begun"), [([SIGINT], False), ([SIGTERM], True), ([SIGINT, SIGINT], True), ([SIGINT, SIGTERM], True)]
)
def test_any_other_signal_in_a_pipe_ends_the_stage(signals: list[int], begun: bool) -> None:
    reaction = PipeInterrupts().signalled(signals, 0.0, begun=begun)
    assert not reaction.cancel
    assert isinstance(reaction.error, Interrupted)


def test_a_cancel_callback_ends_a_pipe() -> None:
    assert isinstance(PipeInterrupts().cancelled(0.0).error, Interrupted)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_the_first_signal_on_a_mesh_cancels_once(number: int) -> None:
    policy = MeshInterrupts(30)
    assert policy.signalled([number], 100.0, begun=False) == Reaction(cancel=True)
    assert policy.signalled([number], 101.0, begun=True) == GO_ON
    assert policy.give_up_at == 130.0


def test_the_second_signal_on_a_mesh_leaves_the_job() -> None:
    policy = MeshInterrupts()
    policy.signalled([SIGINT], 100.0, begun=True)
    reaction = policy.signalled([SIGINT, SIGINT], 100.1, begun=True)
    assert not reaction.cancel
    assert isinstance(reaction.error, DetachedError)
    assert reaction.error.exit_code == 130


def test_two_signals_at_once_on_a_mesh_cancel_before_they_leave() -> None:
    reaction = MeshInterrupts().signalled([SIGINT, SIGTERM], 0.0, begun=True)
    assert reaction.cancel
    assert isinstance(reaction.error, DetachedError)


def test_a_hangup_on_a_mesh_detaches_and_cancels_nothing() -> None:
    reaction = MeshInterrupts().signalled([SIGHUP], 0.0, begun=True)
    assert not reaction.cancel
    assert isinstance(reaction.error, DetachedError)
    assert reaction.error.exit_code == 75


def test_a_cancel_on_a_mesh_that_cannot_be_shown_is_70() -> None:
    policy = MeshInterrupts(30)
    assert policy.cancelled(100.0) == Reaction(cancel=True)
    assert policy.cancelled(101.0) == GO_ON
    assert policy.expired(129.0) == GO_ON
    error = policy.expired(130.0).error
    assert isinstance(error, DetachedError)
    assert error.exit_code == 70


@pytest.mark.parametrize("policy", [PipeInterrupts(), MeshInterrupts()])
def test_nothing_expires_before_anybody_asked(policy: Interrupts) -> None:
    assert policy.expired(1e9) == GO_ON
