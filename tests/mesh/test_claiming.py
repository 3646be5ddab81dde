"""The record of a job is forgotten only by whoever has its name: another may be at work on it."""

from __future__ import annotations

import dataclasses

import pytest

from receptor_runner import Job
from receptor_runner.errors import UsageError
from receptor_runner.mesh.claiming import Place, known_job
from receptor_runner.receptor.address import Address
from receptor_runner.records.record import Record, Route, UnitRef
from receptor_runner.records.state_dir import jobs_directory
from receptor_runner.records.store import BusyError, Records
from receptor_runner.results.verdict import Verdict
from tests.support.private_data import DirFactory


@pytest.fixture
def job(make_dir: DirFactory) -> Job:
    return Job(make_dir(), ident="j")


@pytest.fixture
def record(job: Job) -> Record:
    route = Route("x", "receptor-runner", True)
    units = [UnitRef("AbCd1234", "x", True)]
    return Record("j", str(job.private_data.path), job.artifact_dir, Address("/no.sock"), route, units=units)


@pytest.mark.parametrize("again", [False, True])
def test_a_submit_that_has_not_ended_is_left_alone(again: bool, job: Job, record: Record) -> None:
    records = Records(jobs_directory())
    records.save(dataclasses.replace(record, accepted=False))
    with pytest.raises(BusyError):
        known_job(records, job, Place("/no.sock", None), again=again, mine=False)
    assert records.load("j").units


def test_a_job_that_somebody_follows_is_not_forgotten(job: Job, record: Record) -> None:
    records = Records(jobs_directory())
    verdict = Verdict("successful", "successful", 0, 0)
    records.save(dataclasses.replace(record, verdict=verdict, delivered=True, released=True))
    with pytest.raises(UsageError, match="exists already"):
        known_job(records, job, Place("/no.sock", None), again=True, mine=False)
    assert records.load("j").delivered
    assert known_job(records, job, Place("/no.sock", None), again=True, mine=True) is None
    assert records.ids() == []
