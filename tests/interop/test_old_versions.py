"""Old versions of ansible-runner read what we write, and we read what they write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mixtures import MIXTURES, Runs, check_mixture
from tests.support.old_versions import ANSIBLE, VERSIONS

OLD_VERSIONS = os.environ.get("RECEPTOR_RUNNER_OLD_VERSIONS")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.old_versions,
    pytest.mark.skipif(
        OLD_VERSIONS is None,
        reason="needs old versions of ansible-runner in environments of their own: tox -e old-versions",
    ),
]


@pytest.fixture(scope="module", params=VERSIONS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    environments = Path(str(OLD_VERSIONS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{environments / ANSIBLE / 'bin'}:{os.environ['PATH']}")
        command = [str(environments / request.param / "bin" / "ansible-runner")]
        yield Runs(tmp_path_factory.mktemp("old"), command, without_ident=("theirs",) if request.param < "2.1" else ())


@pytest.mark.parametrize("scenario", ["successful", "failed"])
@pytest.mark.parametrize("mixture", MIXTURES, ids="-".join)
def test_a_mixture_of_stages_ends_as_ansible_runner_alone(
    runs: Runs, scenario: str, mixture: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(str(OLD_VERSIONS)) / ANSIBLE / 'bin'}:{os.environ['PATH']}")
    check_mixture(runs, scenario, mixture)
