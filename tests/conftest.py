"""For all tests: what Hypothesis makes up is about what holds, and not about how long a busy machine takes for an example."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
