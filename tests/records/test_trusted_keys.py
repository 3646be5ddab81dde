"""The keys of nodes, as their file has them."""

from __future__ import annotations

import json

import pytest

from receptor_runner.errors import ConfigurationError
from receptor_runner.records.state_dir import state_directory
from receptor_runner.records.trusted_keys import TrustedKeys


@pytest.mark.parametrize("key", ["AAAA", "not base64", 7, None])
def test_a_key_that_is_none_is_told_before_anything_is_sealed_with_it(key: object) -> None:
    (state_directory() / "trusted-keys.json").write_text(json.dumps({"keys": {"exec-1": key}}))
    with pytest.raises(ConfigurationError, match="is damaged"):
        TrustedKeys()
