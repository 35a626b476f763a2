"""How long fuzzing takes: seconds with every test run, minutes by `make fuzz`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "short",
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=SUPPRESSED,
)
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=1500, stateful_step_count=60
)
settings.load_profile("short")
