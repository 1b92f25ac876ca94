"""The shared suites' assertions explain themselves as a test file's do."""

import pytest

pytest.register_assert_rewrite("providers.contract", "providers.upstream_contract")
