"""How many examples: few and always the same in `make test`, many in `make test-all` (`CCXR_PROPERTIES=many`)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "few", max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=QUIET
)
settings.register_profile(
    "many", max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=QUIET
)
settings.load_profile(os.environ.get("CCXR_PROPERTIES", "few"))
