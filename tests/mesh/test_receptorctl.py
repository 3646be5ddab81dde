"""receptorctl's command line cannot tell the embedded node from the daemon."""

from __future__ import annotations

import json

import pytest

from tests.support.commands import OURS
from tests.support.nodes import NO_DAEMON, Node, daemon_binary, node_directory
from tests.support.receptorctl_calls import ITEMS, NAME, RECORDED, answers

pytestmark = pytest.mark.slow


def _check(command: list[str]) -> None:
    with node_directory() as directory:
        node = Node(directory, NAME, ITEMS, command)
        node.start()
        try:
            found = answers(node)
        finally:
            node.stop()
    assert [call for call, then in zip(found, json.loads(RECORDED.read_text()), strict=True) if call != then] == []


def test_the_embedded_node_answers_as_the_daemon_did() -> None:
    _check([*OURS, "serve"])


@pytest.mark.daemon
def test_the_daemon_answers_as_it_did() -> None:
    binary = daemon_binary()
    if binary is None:
        pytest.skip(NO_DAEMON)
    _check([binary])
