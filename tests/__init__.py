"""The tests. Each folder mirrors a package; what several tests use is in ``support``."""

import pytest

pytest.register_assert_rewrite("tests.support")
