"""The earliest deadline counts, in what poll can take."""

from __future__ import annotations

import pytest

from receptor_runner.system.timeouts import milliseconds


@pytest.mark.parametrize(
    ("waits", "expected"),
    [([], 3_600_000), ([None], 3_600_000), ([2, None, 0.5], 500), ([-1, 3], 0), ([1e12], 3_600_000)],
)
def test_the_earliest_deadline_is_the_timeout_of_poll(waits: list[float | None], expected: float) -> None:
    assert milliseconds(*waits) == expected
