"""Any stage can be swapped for the same stage of ansible-runner: {ours, theirs}³ times every way for a job to end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.commands import BIN
from tests.support.mixtures import MIXTURES, SCENARIOS, Runs, Stage, check_mixture

pytestmark = pytest.mark.slow

# ansible-runner's worker does not stop Ansible's task processes: it comes back when the module has ended by itself,
# hence the short sleeps.


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, ansible_runner: Stage) -> Iterator[Runs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
        yield Runs(tmp_path_factory.mktemp("matrix"), ansible_runner)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mixture", MIXTURES, ids="-".join)
def test_a_mixture_of_stages_ends_as_ansible_runner_alone(
    runs: Runs, scenario: str, mixture: tuple[str, str, str]
) -> None:
    check_mixture(runs, scenario, mixture)
