"""Old versions of ansible-runner read what we write, and we read what they write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .old_peers import ANSIBLE, VERSIONS
from .test_matrix import MIXTURES, Runs, check_mixture

PEERS = os.environ.get("RECEPTOR_RUNNER_OLD_PEERS")

pytestmark = [
    pytest.mark.old_peers,
    pytest.mark.skipif(
        PEERS is None, reason="needs old versions of ansible-runner in environments of their own: tox -e old-peers"
    ),
]


@pytest.fixture(scope="module", params=VERSIONS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    peers = Path(str(PEERS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{peers / ANSIBLE / 'bin'}:{os.environ['PATH']}")
        command = [str(peers / request.param / "bin" / "ansible-runner")]
        yield Runs(tmp_path_factory.mktemp("old"), command, without_ident=("theirs",) if request.param < "2.1" else ())


@pytest.mark.parametrize("scenario", ["successful", "failed"])
@pytest.mark.parametrize("mixture", MIXTURES, ids="-".join)
def test_mixture(runs: Runs, scenario: str, mixture: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(str(PEERS)) / ANSIBLE / 'bin'}:{os.environ['PATH']}")
    check_mixture(runs, scenario, mixture)
